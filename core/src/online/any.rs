//! Any of the models, chosen by name at run time.

use super::blob::{BlobError, Reader, Writer};
use super::{NotFinite, OnlineModel, Parameter, ParameterError, Score};
use super::{cusum, ewma, hampel, holt, kmeans, rls, seasonal, threshold, zscore};

/// The methods. The discriminant is the kind byte of a blob and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs)] // each is a module of its own
pub enum Kind {
    Ewma = 1,
    Zscore = 2,
    Hampel = 3,
    Holt = 4,
    Seasonal = 5,
    Rls = 6,
    Kmeans = 7,
    Cusum = 8,
    Threshold = 9,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 9] = [
        Self::Ewma,
        Self::Zscore,
        Self::Hampel,
        Self::Holt,
        Self::Seasonal,
        Self::Rls,
        Self::Kmeans,
        Self::Cusum,
        Self::Threshold,
    ];

    /// The byte in a blob.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Lower-case name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ewma => "ewma",
            Self::Zscore => "zscore",
            Self::Hampel => "hampel",
            Self::Holt => "holt",
            Self::Seasonal => "seasonal",
            Self::Rls => "rls",
            Self::Kmeans => "kmeans",
            Self::Cusum => "cusum",
            Self::Threshold => "threshold",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Its parameters, in the order of [`Any::new`].
    #[must_use]
    pub const fn parameters(self) -> &'static [Parameter] {
        match self {
            Self::Ewma => ewma::PARAMETERS,
            Self::Zscore => zscore::PARAMETERS,
            Self::Hampel => hampel::PARAMETERS,
            Self::Holt => holt::PARAMETERS,
            Self::Seasonal => seasonal::PARAMETERS,
            Self::Rls => rls::PARAMETERS,
            Self::Kmeans => kmeans::PARAMETERS,
            Self::Cusum => cusum::PARAMETERS,
            Self::Threshold => threshold::PARAMETERS,
        }
    }
}

/// One model of any kind.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::large_enum_variant)] // without a heap there is no box; the largest is 2.4 kB
#[allow(missing_docs)] // each is a module of its own
pub enum Any {
    Ewma(ewma::Ewma),
    Zscore(zscore::Zscore),
    Hampel(hampel::Hampel),
    Holt(holt::Holt),
    Seasonal(seasonal::Seasonal),
    Rls(rls::Rls),
    Kmeans(kmeans::Kmeans),
    Cusum(cusum::Cusum),
    Threshold(threshold::Threshold),
}

/// The same expression for whichever model it is.
macro_rules! each {
    ($any:expr, $model:ident => $do:expr) => {
        match $any {
            Any::Ewma($model) => $do,
            Any::Zscore($model) => $do,
            Any::Hampel($model) => $do,
            Any::Holt($model) => $do,
            Any::Seasonal($model) => $do,
            Any::Rls($model) => $do,
            Any::Kmeans($model) => $do,
            Any::Cusum($model) => $do,
            Any::Threshold($model) => $do,
        }
    };
}

impl Any {
    /// A model that has seen nothing. `values` in the order of [`Kind::parameters`]; missing ones are the
    /// defaults, further ones are ignored.
    ///
    /// # Errors
    /// The first value out of its range.
    pub fn new(kind: Kind, values: &[f64]) -> Result<Self, ParameterError> {
        let mut v = [0.0; 4];
        for (i, parameter) in kind.parameters().iter().enumerate() {
            v[i] = parameter.check(values.get(i).copied().unwrap_or(parameter.default))?;
        }
        Ok(match kind {
            Kind::Ewma => Self::Ewma(ewma::Ewma::new(v[0], v[1])),
            Kind::Zscore => Self::Zscore(zscore::Zscore::new(v[0])),
            Kind::Hampel => Self::Hampel(hampel::Hampel::new(v[0] as u32, v[1])),
            Kind::Holt => Self::Holt(holt::Holt::new(v[0], v[1], v[2] as u32, v[3])),
            Kind::Seasonal => Self::Seasonal(seasonal::Seasonal::new(v[0] as u32, v[1], v[2])),
            Kind::Rls => Self::Rls(rls::Rls::new(v[0] as u32, v[1], v[2])),
            Kind::Kmeans => Self::Kmeans(kmeans::Kmeans::new(v[0] as u32, v[1])),
            Kind::Cusum => Self::Cusum(cusum::Cusum::new(v[0] as u32, v[1], v[2])),
            Kind::Threshold => Self::Threshold(threshold::Threshold::new(v[0], v[1])),
        })
    }

    /// Its method.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Ewma(_) => Kind::Ewma,
            Self::Zscore(_) => Kind::Zscore,
            Self::Hampel(_) => Kind::Hampel,
            Self::Holt(_) => Kind::Holt,
            Self::Seasonal(_) => Kind::Seasonal,
            Self::Rls(_) => Kind::Rls,
            Self::Kmeans(_) => Kind::Kmeans,
            Self::Cusum(_) => Kind::Cusum,
            Self::Threshold(_) => Kind::Threshold,
        }
    }

    /// Writes the model as a blob; its length in bytes, at most [`BLOB_BYTES_MAX`](super::BLOB_BYTES_MAX).
    ///
    /// # Errors
    /// [`BlobError::NoRoom`] when `out` is too small.
    pub fn export(&self, out: &mut [u8]) -> Result<usize, BlobError> {
        let mut fields = Writer::new(out);
        let mut copy = self.clone(); // layouts go both ways, so they take the model mutably
        each!(&mut copy, model => model.layout(&mut fields));
        fields.finish(self.kind().code())
    }

    /// Reads a blob, whoever wrote it.
    ///
    /// # Errors
    /// [`BlobError`], never a model that could misbehave.
    pub fn import(blob: &[u8]) -> Result<Self, BlobError> {
        let (code, mut fields) = Reader::open(blob)?;
        let kind = Kind::ALL.into_iter().find(|k| k.code() == code);
        let kind = kind.ok_or(BlobError::Kind(code))?;
        let mut any = Self::new(kind, &[]).map_err(|_| BlobError::Content)?;
        each!(&mut any, model => model.layout(&mut fields));
        fields.finish()?;
        if each!(&any, model => model.is_sound()) {
            Ok(any)
        } else {
            Err(BlobError::Content)
        }
    }
}

impl OnlineModel for Any {
    fn update(&mut self, sample: f64) -> Result<Score, NotFinite> {
        each!(self, model => model.update(sample))
    }

    fn describe(&self, each: &mut dyn FnMut(&'static str, f64)) {
        each!(self, model => model.describe(each))
    }
}
