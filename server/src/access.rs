//! `leitstand token` and `leitstand user`: access without a browser, also while the gateway runs.

use crate::cli::{RoleArg, Token, User};
use crate::exit::{Failure, say};
use leitstand_kit::auth::{Auth, AuthError, Role, Settings};
use leitstand_kit::{CancellationToken, Clock, Context, Exit, Paths, Site};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::Path;

/// Longest password that is read. Reasoning: argon2 takes any length, a pipe may be endless.
const PASSWORD_BYTES_MAX: u64 = 1024;

impl From<RoleArg> for Role {
    fn from(role: RoleArg) -> Self {
        match role {
            RoleArg::Viewer => Self::Viewer,
            RoleArg::Operator => Self::Operator,
            RoleArg::Engineer => Self::Engineer,
            RoleArg::Admin => Self::Admin,
        }
    }
}

/// `leitstand token ...`
///
/// # Errors
/// Exit 2 for a name that cannot be used, 3 when the site's memory cannot be opened.
pub(crate) fn token(what: Token) -> Result<(), Failure> {
    match what {
        Token::New {
            name,
            role,
            expires,
            state,
        } => {
            let text = open(&state.state)?
                .add_token(&name, role.into(), expires)
                .map_err(refused)?;
            say(text);
        }
        Token::List { state } => {
            for token in open(&state.state)?.list_tokens().map_err(refused)? {
                let ends = match token.expires_unix_ms {
                    Some(ms) => format!("until {}", date(ms)),
                    None => "without end".into(),
                };
                let made = date(token.created_unix_ms);
                let used = match token.last_used_unix_ms {
                    Some(ms) => format!("last used {}", date(ms)),
                    None => "never used".into(),
                };
                say(format!(
                    "{:<24} {:<9} made {made}, {used}, {ends}",
                    token.name,
                    token.role.name()
                ));
            }
        }
        Token::Revoke { name, state } => {
            if !open(&state.state)?.revoke_token(&name).map_err(refused)? {
                return Err(Failure::new(
                    Exit::Configuration,
                    format!("there is no token `{name}`"),
                ));
            }
            say(format!("token `{name}` is revoked"));
        }
    }
    Ok(())
}

/// `leitstand user ...`
///
/// # Errors
/// As [`token`].
pub(crate) fn user(what: User) -> Result<(), Failure> {
    match what {
        User::Add { name, role, state } => {
            let password = read_password(&name)?;
            open(&state.state)?
                .add_user(&name, &password, role.into())
                .map_err(refused)?;
            say(format!("user `{name}` may log in"));
        }
    }
    Ok(())
}

fn open(state: &Path) -> Result<Auth, Failure> {
    if !state.is_dir() {
        let text = format!(
            "{} does not exist; start the gateway once, or name another --state",
            state.display()
        );
        return Err(Failure::new(Exit::RuntimeInformation, text));
    }
    let paths = Paths {
        state: state.to_path_buf(),
        config_dir: state.to_path_buf(),
    };
    let site = Site {
        name: String::new(),
        language: "en".into(),
        simulated: false,
    };
    let cx = Context::open(paths, site, Clock::real(), CancellationToken::new())?;
    let settings = Settings {
        loopback: true,
        trust_loopback: false,
        tls: false,
        open_assets: Vec::new(),
    };
    Auth::open(&cx, settings)
        .map_err(|e| Failure::because(Exit::RuntimeInformation, "opening access data", &e))
}

fn refused(error: AuthError) -> Failure {
    let exit = match error {
        AuthError::Store(_) => Exit::RuntimeInformation,
        _ => Exit::Configuration,
    };
    Failure::because(exit, "access", &error)
}

/// The day of a wall-clock stamp, as people write it.
fn date(unix_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(unix_ms)
        .map(|t| t.strftime("%Y-%m-%d %H:%M UTC").to_string())
        .unwrap_or_else(|_| "?".into())
}

fn read_password(name: &str) -> Result<String, Failure> {
    if std::io::stdin().is_terminal() {
        let _ = write!(
            std::io::stderr(),
            "New password for {name} (shown while you type), then Enter: "
        );
    }
    let mut text = String::new();
    let failed = |e: std::io::Error| {
        Failure::because(Exit::Configuration, "reading the password from STDIN", &e)
    };
    if std::io::stdin().is_terminal() {
        std::io::stdin().read_line(&mut text).map_err(failed)?;
    } else {
        std::io::stdin()
            .take(PASSWORD_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(failed)?;
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// `leitstand hash-password`: what a client of the models repl sends is the SHA-256 of the password, so that is
/// what is hashed.
#[cfg(feature = "models")]
pub(crate) fn hash_password() -> Result<(), Failure> {
    use leitstand_models::repl::users;
    let password = read_password("the repl")?;
    let hash = users::hash_digest(&users::digest(&password));
    let failed = |e: String| Failure::new(Exit::Internal, format!("hashing: {e}"));
    crate::exit::say(hash.map_err(|e| failed(e.to_string()))?);
    Ok(())
}
