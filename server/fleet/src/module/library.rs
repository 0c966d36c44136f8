//! A module library by its C interface (`specs/fleet.md` section 4).
//!
//! Structs go by value, strings are UTF-8 with a length and without a reliable zero at the end. Input buffers are ours
//! and live for the call; output buffers are the library's and are given back to its `deallocate`, all of them, on
//! every path.
#![allow(
    unsafe_code,
    reason = "calling a C library; each block says what it relies on"
)]

use std::{
    ffi::{c_int, c_uint, c_void},
    fmt,
    path::Path,
};

use super::{Code, NOT_OK};
use crate::{session::Leave, wire::Device};

/// `buffer` of the interface.
#[repr(C)]
#[derive(Clone, Copy)]
struct Buffer {
    data: *mut c_void,
    size: usize,
}

/// `device_identification`.
#[repr(C)]
#[derive(Clone, Copy)]
struct DeviceIdentification {
    module: c_int,
    device_type: c_uint,
    role: Buffer,
    name: Buffer,
    priority: c_uint,
}

/// `key_value`.
#[repr(C)]
struct KeyValue {
    key: Buffer,
    value: Buffer,
}

/// `config`.
#[repr(C)]
struct Config {
    parameters: *mut KeyValue,
    size: usize,
}

impl Buffer {
    const EMPTY: Self = Self {
        data: std::ptr::null_mut(),
        size: 0,
    };

    /// Lends `bytes` to the library for one call. The interface has no `const`, but says that inputs are not changed.
    fn lend(bytes: &[u8]) -> Self {
        Self {
            data: bytes.as_ptr().cast_mut().cast(),
            size: bytes.len(),
        }
    }
}

impl DeviceIdentification {
    fn lend(device: &Device) -> Self {
        Self {
            module: device.module,
            device_type: device.device_type,
            role: Buffer::lend(device.device_role.as_bytes()),
            name: Buffer::lend(device.device_name.as_bytes()),
            // Priorities are settled in the vehicle.
            priority: 0,
        }
    }
}

type ByBytes = unsafe extern "C" fn(Buffer, DeviceIdentification, *mut c_void) -> c_int;

/// The functions, resolved once.
struct Functions {
    get_module_number: unsafe extern "C" fn() -> c_int,
    is_device_type_supported: unsafe extern "C" fn(c_uint) -> c_int,
    deallocate: unsafe extern "C" fn(*mut Buffer),
    init: unsafe extern "C" fn(Config) -> *mut c_void,
    destroy: unsafe extern "C" fn(*mut *mut c_void) -> c_int,
    forward_status: ByBytes,
    forward_error_message: ByBytes,
    device_connected: unsafe extern "C" fn(DeviceIdentification, *mut c_void) -> c_int,
    device_disconnected: unsafe extern "C" fn(c_int, DeviceIdentification, *mut c_void) -> c_int,
    wait_for_command: unsafe extern "C" fn(c_int, *mut c_void) -> c_int,
    pop_command: unsafe extern "C" fn(*mut Buffer, *mut DeviceIdentification, *mut c_void) -> c_int,
    command_ack: ByBytes,
}

/// Why a library cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The file is not there, or the system's loader refuses it.
    NotLoaded(String),
    /// It is the half for the gateway in the vehicle.
    GatewayHalf,
    /// This function is missing.
    Missing(&'static str),
    /// It says that it is another module.
    OtherNumber {
        /// What it says.
        says: i32,
        /// What the configuration says.
        configured: i32,
    },
    /// `init` answered NULL.
    Init,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoaded(why) => write!(f, "the library cannot be loaded: {why}"),
            Self::GatewayHalf => f.write_str(
                "this is the gateway half of the module, for the vehicle; the server half is needed",
            ),
            Self::Missing(name) => write!(f, "the library has no function `{name}`"),
            Self::OtherNumber { says, configured } => {
                write!(f, "the library is module {says}, not {configured}")
            }
            Self::Init => f.write_str("`init` of the library answered NULL"),
        }
    }
}

impl std::error::Error for Unusable {}

/// A loaded library. Never unloaded: threads of its own may run on in it.
pub struct Library(Functions);

impl Library {
    /// Loads `path` and checks that it is the server half of module `number`.
    ///
    /// # Errors
    /// See [`Unusable`].
    pub fn load(path: &Path, number: i32) -> Result<Self, Unusable> {
        use libloading::os::unix::{Library as Raw, RTLD_LOCAL, RTLD_NOW};
        // A bare name would be searched for in the system's folders.
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // SAFETY: initialisers of the library run now; it is in a process of its own, or the user asked for inline.
        let raw = unsafe { Raw::open(Some(&path), RTLD_NOW | RTLD_LOCAL) };
        let raw = raw.map_err(|e| Unusable::NotLoaded(e.to_string()))?;
        let raw = std::mem::ManuallyDrop::new(raw);
        let functions = Functions::resolve(&raw)?;
        // SAFETY: takes nothing.
        let says = unsafe { (functions.get_module_number)() };
        if says != number {
            return Err(Unusable::OtherNumber {
                says,
                configured: number,
            });
        }
        Ok(Self(functions))
    }

    /// Whether the module knows the device type.
    #[must_use]
    pub fn supports(&self, device_type: u32) -> bool {
        // SAFETY: takes a number.
        unsafe { (self.0.is_device_type_supported)(device_type) == 0 }
    }

    /// Makes a context. `config` begins with `company_name` and `car_name`.
    ///
    /// # Errors
    /// [`Unusable::Init`].
    pub fn init(&self, config: &[(String, String)]) -> Result<LibraryContext<'_>, Unusable> {
        let mut pairs: Vec<KeyValue> = config
            .iter()
            .map(|(key, value)| KeyValue {
                key: Buffer::lend(key.as_bytes()),
                value: Buffer::lend(value.as_bytes()),
            })
            .collect();
        let config = Config {
            parameters: pairs.as_mut_ptr(),
            size: pairs.len(),
        };
        // SAFETY: the pairs and what they point to live until the end of this function.
        let context = unsafe { (self.0.init)(config) };
        if context.is_null() {
            return Err(Unusable::Init);
        }
        Ok(LibraryContext {
            library: self,
            context,
        })
    }
}

impl Functions {
    fn resolve(raw: &libloading::os::unix::Library) -> Result<Self, Unusable> {
        let has = |name: &str| {
            // SAFETY: the address is only compared.
            unsafe { raw.get::<*const c_void>(name) }.is_ok()
        };
        if !has("forward_status") && (has("generate_command") || has("send_status_condition")) {
            return Err(Unusable::GatewayHalf);
        }
        macro_rules! symbol {
            ($name:ident) => {{
                let name = stringify!($name);
                // SAFETY: the types are those of the interface; a library that lies about them cannot be told apart.
                let found = unsafe { raw.get(name) };
                *found.map_err(|_| Unusable::Missing(name))?
            }};
        }
        Ok(Self {
            get_module_number: symbol!(get_module_number),
            is_device_type_supported: symbol!(is_device_type_supported),
            deallocate: symbol!(deallocate),
            init: symbol!(init),
            destroy: symbol!(destroy),
            forward_status: symbol!(forward_status),
            forward_error_message: symbol!(forward_error_message),
            device_connected: symbol!(device_connected),
            device_disconnected: symbol!(device_disconnected),
            wait_for_command: symbol!(wait_for_command),
            pop_command: symbol!(pop_command),
            command_ack: symbol!(command_ack),
        })
    }
}

/// A context of a library: one car.
///
/// The interface allows one call at a time, except `wait_for_command` beside another one; who holds this sees to it.
pub struct LibraryContext<'a> {
    library: &'a Library,
    context: *mut c_void,
}

// SAFETY: the interface hands contexts between threads; calls are serialised by the owner.
unsafe impl Send for LibraryContext<'_> {}
// SAFETY: the same; `wait_for_command` beside other calls is what every module in the field lives with.
unsafe impl Sync for LibraryContext<'_> {}

impl LibraryContext<'_> {
    /// `forward_status`.
    pub fn status(&self, device: &Device, data: &[u8]) -> Code {
        self.by_bytes(self.library.0.forward_status, device, data)
    }

    /// `forward_error_message`.
    pub fn error(&self, device: &Device, data: &[u8]) -> Code {
        self.by_bytes(self.library.0.forward_error_message, device, data)
    }

    /// `command_ack`.
    pub fn acknowledged(&self, device: &Device, data: &[u8]) -> Code {
        self.by_bytes(self.library.0.command_ack, device, data)
    }

    fn by_bytes(&self, call: ByBytes, device: &Device, data: &[u8]) -> Code {
        // SAFETY: both buffers live for the call, the context is not destroyed.
        unsafe {
            call(
                Buffer::lend(data),
                DeviceIdentification::lend(device),
                self.context,
            )
        }
    }

    /// `device_connected`.
    pub fn connected(&self, device: &Device) -> Code {
        let device = DeviceIdentification::lend(device);
        // SAFETY: as above.
        unsafe { (self.library.0.device_connected)(device, self.context) }
    }

    /// `device_disconnected`.
    pub fn disconnected(&self, device: &Device, why: Leave) -> Code {
        let device = DeviceIdentification::lend(device);
        // SAFETY: as above.
        unsafe { (self.library.0.device_disconnected)(why as c_int, device, self.context) }
    }

    /// `wait_for_command`: 0 when there is one.
    pub fn wait(&self, timeout_ms: u32) -> Code {
        let timeout = c_int::try_from(timeout_ms).unwrap_or(c_int::MAX);
        // SAFETY: takes a number and the context.
        unsafe { (self.library.0.wait_for_command)(timeout, self.context) }
    }

    /// `pop_command`: a command and how many are left after it.
    ///
    /// # Errors
    /// A negative code: there is none.
    pub fn pop(&self) -> Result<(Device, Vec<u8>, c_int), Code> {
        let mut command = Buffer::EMPTY;
        let mut device = DeviceIdentification {
            module: 0,
            device_type: 0,
            role: Buffer::EMPTY,
            name: Buffer::EMPTY,
            priority: 0,
        };
        // SAFETY: both outputs are ours and live for the call.
        let left = unsafe { (self.library.0.pop_command)(&mut command, &mut device, self.context) };
        let popped = (left >= 0).then(|| {
            let text = |buffer| String::from_utf8_lossy(&copy(buffer)).into_owned();
            let found = Device {
                module: device.module,
                device_type: device.device_type,
                device_role: text(device.role),
                device_name: text(device.name),
                priority: device.priority,
            };
            (found, copy(command), left)
        });
        for buffer in [&mut command, &mut device.role, &mut device.name] {
            if !buffer.data.is_null() {
                // SAFETY: allocated by the library, given back once.
                unsafe { (self.library.0.deallocate)(buffer) };
            }
        }
        popped.ok_or(if left < 0 { left } else { NOT_OK })
    }
}

impl Drop for LibraryContext<'_> {
    fn drop(&mut self) {
        // SAFETY: the owner ended all calls.
        unsafe { (self.library.0.destroy)(&mut self.context) };
    }
}

/// Longest buffer taken from a library.
const COPY_BYTES_MAX: usize = crate::wire::PAYLOAD_BYTES_MAX;

fn copy(buffer: Buffer) -> Vec<u8> {
    if buffer.data.is_null() || buffer.size == 0 || buffer.size > COPY_BYTES_MAX {
        return Vec::new();
    }
    // SAFETY: the library says that so many bytes are there, until `deallocate`.
    unsafe { std::slice::from_raw_parts(buffer.data.cast::<u8>(), buffer.size) }.to_vec()
}
