//! What a user can type. Values are checked here as far as one value can be; everything that needs a
//! configuration is checked where it is used.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

/// One server for everything attached to a site.
///
/// Not a type-approved gas-warning controller.
#[derive(Debug, Parser)]
#[command(
    name = "leitstand",
    version,
    propagate_version = true,
    arg_required_else_help = true
)]
#[command(after_help = "Try it: leitstand demo")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs the whole gateway on a simulated site; needs nothing else
    #[command(after_help = "Example:\n  leitstand demo --bind 127.0.0.1:9000 --seed 7 --speed 2")]
    Demo(Demo),
    /// Runs the gateway of a real site
    #[command(
        after_help = "Example:\n  leitstand run --config /etc/leitstand/leitstand.toml --state /var/lib/leitstand\n\n\
        The first start reads the configuration and keeps a copy in the state directory; later starts use the copy.\n\
        --rebootstrap reads the file again. Latched alarms, acknowledgements and counters stay."
    )]
    Run(Run),
    /// Checks a configuration file, or the journal of a site, and reports every mistake at once
    #[command(
        after_help = "Examples:\n  leitstand check leitstand.toml\n  leitstand check leitstand.toml --json\n  \
        leitstand check --schema > leitstand.schema.json\n  leitstand check --journal /var/lib/leitstand"
    )]
    Check(Check),
    #[cfg(feature = "gas")]
    /// Feeds recorded readings through the real evaluation on a virtual clock and prints every transition
    #[command(
        after_help = "Example:\n  leitstand replay --config garage.toml --readings garage-readings.csv --json \\\n      \
        --ack co_ap3@20 --reset co_ap3@25 --until 60"
    )]
    Replay(Replay),
    #[cfg(feature = "gas")]
    /// Lists what is plugged in, or looks for Modbus devices on a serial line
    #[command(
        after_help = "Examples:\n  leitstand scan\n  leitstand scan /dev/ttyUSB0 --baud 9600,19200 --addresses 1-34,247\n\n\
        Stop the gateway first: a serial line has one owner."
    )]
    Scan(Scan),
    #[cfg(any(feature = "gas", feature = "fleet", feature = "containers"))]
    /// Converts the configuration of an original system to ours, on STDOUT
    #[command(
        after_help = "Example:\n  leitstand import xmz /boot/xmz-server.toml > leitstand.toml\n  leitstand import fleet config.json > leitstand.toml"
    )]
    Import(Import),
    /// Writes everything a site is to one file, while it runs
    #[command(
        after_help = "Example:\n  leitstand backup /media/stick/garage.tar\n\n\
        Configuration, state, journal, history and media are in it; so are password hashes and keys: keep it safe."
    )]
    Backup(Backup),
    /// Puts a site back from its backup, on a machine where there is none
    #[command(
        after_help = "Examples:\n  leitstand restore --check garage.tar\n  leitstand restore garage.tar\n\n\
        Stop the gateway first. Nothing is written unless the whole backup is sound."
    )]
    Restore(Restore),
    #[cfg(feature = "containers")]
    /// Access tokens of the containers service
    #[command(
        subcommand,
        after_help = "Example:\n  leitstand container token new --state /var/lib/leitstand"
    )]
    Container(Container),
    /// Access tokens for programs and screens
    #[command(
        subcommand,
        after_help = "Example:\n  leitstand token new --name kiosk --role viewer --expires 365d"
    )]
    Token(Token),
    /// People who may log in
    #[command(
        subcommand,
        after_help = "Example:\n  leitstand user add anna --role operator"
    )]
    User(User),
    /// Prints what `[models] control.users.password` keeps, for a password read from STDIN
    #[cfg(feature = "models")]
    #[command(after_help = "Example:\n  leitstand hash-password < password.txt")]
    HashPassword,
    /// Limits itself and becomes a worker of the model service
    #[cfg(feature = "models")]
    #[command(hide = true)]
    PluginHost(PluginHost),
}

#[cfg(feature = "models")]
#[derive(Debug, Args)]
pub(crate) struct PluginHost {
    /// Address space in MiB, 0: no limit
    #[arg(long, default_value_t = 0)]
    pub(crate) memory_mib: u64,
    /// Processor time in seconds, 0: no limit
    #[arg(long, default_value_t = 0)]
    pub(crate) cpu_s: u64,
    /// Program and arguments of the worker
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Address to listen on; port 0 picks a free one and prints it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub(crate) bind: SocketAddr,
    /// Keeps configuration, journal and media here instead of a temporary directory
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Seed of the simulated site: the same seed is the same day
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How fast the day of the simulated site passes, 0.1 to 20; delays and windows of alarms stay real
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = speed)]
    pub(crate) speed: f64,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Configuration file; otherwise /boot/firmware, /boot and /etc/leitstand are searched
    #[arg(long, value_name = "FILE", env = "LEITSTAND_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Where the site's memory lives
    #[arg(
        long,
        value_name = "DIR",
        env = "LEITSTAND_STATE",
        default_value = "/var/lib/leitstand"
    )]
    pub(crate) state: PathBuf,
    /// Address to listen on, instead of `[api] bind`; port 0 picks a free one and prints it
    #[arg(long, value_name = "ADDR:PORT")]
    pub(crate) bind: Option<SocketAddr>,
    /// Reads the configuration file again instead of the copy from the first start
    #[arg(long)]
    pub(crate) rebootstrap: bool,
}

#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["file", "schema", "journal"]))]
pub(crate) struct Check {
    /// Configuration file
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Prints the findings as a JSON array on STDOUT
    #[arg(long)]
    pub(crate) json: bool,
    /// Prints the JSON Schema of the configuration file
    #[arg(long)]
    pub(crate) schema: bool,
    /// Verifies that no entry of a site's journal was removed or edited
    #[arg(long, value_name = "STATE")]
    pub(crate) journal: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// Configuration of the site
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Recorded readings: `t_s,cell,value`
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) readings: PathBuf,
    /// One JSON object a line instead of text
    #[arg(long)]
    pub(crate) json: bool,
    /// Acknowledges an alarm at a time (repeatable)
    #[arg(long, value_name = "SETPOINT@SECONDS", value_parser = at)]
    pub(crate) ack: Vec<At>,
    /// Resets a latched alarm at a time (repeatable)
    #[arg(long, value_name = "SETPOINT@SECONDS", value_parser = at)]
    pub(crate) reset: Vec<At>,
    /// Lets time run on after the last reading
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) until: Option<f64>,
}

/// An operator's command at a time of a replay.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At {
    /// Id of the set point or alarm.
    pub(crate) what: String,
    /// Seconds since the start of the recording.
    pub(crate) t_s: f64,
}

#[derive(Debug, Args)]
pub(crate) struct Scan {
    /// Serial line to search; without it serial lines, GPIO chips, I2C and SPI buses are listed
    #[arg(value_name = "DEVICE")]
    pub(crate) device: Option<PathBuf>,
    /// Rates to try, in this order; without it the usual ones with their parities
    #[arg(long, value_name = "BAUD,...", requires = "device", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(300..=1_000_000))]
    pub(crate) baud: Vec<u32>,
    /// Parity of the line, for the rates given with --baud
    #[arg(long, value_enum, default_value_t = ParityArg::None, requires = "baud")]
    pub(crate) parity: ParityArg,
    /// Addresses to try
    #[arg(long, value_name = "A-B,...", default_value = "1-247", value_parser = addresses)]
    pub(crate) addresses: Addresses,
    /// How long to wait for an answer, in milliseconds (50 to 2000)
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(50..=2000))]
    pub(crate) timeout: u64,
    /// Prints one JSON object a device
    #[arg(long)]
    pub(crate) json: bool,
}

/// Parity of a serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ParityArg {
    /// 8N1
    None,
    /// 8E1
    Even,
    /// 8O1
    Odd,
}

/// Slave addresses in the order they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addresses(pub(crate) Vec<u8>);

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// Which system the file belongs to
    #[arg(value_enum)]
    pub(crate) from: Origin,
    /// Its configuration file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// Systems whose configuration can be converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Origin {
    /// xmz-server.toml of the xMZ-Plattform
    #[cfg(feature = "gas")]
    Xmz,
    /// JSON of BringAuto's External Server, either layout
    #[cfg(feature = "fleet")]
    Fleet,
    /// config.yaml of the Anweddol server
    #[cfg(feature = "containers")]
    Anweddol,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file to write; one from before is replaced when the new one is whole
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) state: StateArg,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// A backup
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only checks the backup
    #[arg(long)]
    pub(crate) check: bool,
    /// Puts every path below this folder, to look at it or to prepare another machine's disk
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: StateArg,
}

/// Which site a command is about, by where it keeps its memory.
#[derive(Debug, Args)]
pub(crate) struct StateArg {
    /// Where the site's memory lives
    #[arg(
        long,
        value_name = "DIR",
        env = "LEITSTAND_STATE",
        default_value = "/var/lib/leitstand"
    )]
    pub(crate) state: PathBuf,
}

#[cfg(feature = "containers")]
#[derive(Debug, Subcommand)]
pub(crate) enum Container {
    /// Who may use the service, where `access_tokens = true`
    #[command(
        subcommand,
        after_help = "Example:\n  leitstand container token list --state /var/lib/leitstand"
    )]
    Token(ContainerToken),
}

#[cfg(feature = "containers")]
#[derive(Debug, Subcommand)]
pub(crate) enum ContainerToken {
    /// Makes a token and prints its number and secret, once
    #[command(after_help = "Example:\n  leitstand container token new")]
    New {
        #[command(flatten)]
        state: StateArg,
    },
    /// Lists tokens, never their secrets
    #[command(after_help = "Example:\n  leitstand container token list")]
    List {
        #[command(flatten)]
        state: StateArg,
    },
    /// Lets a token count again
    #[command(after_help = "Example:\n  leitstand container token enable 3")]
    Enable {
        /// Its number
        id: i64,
        #[command(flatten)]
        state: StateArg,
    },
    /// Lets a token not count
    #[command(after_help = "Example:\n  leitstand container token disable 3")]
    Disable {
        /// Its number
        id: i64,
        #[command(flatten)]
        state: StateArg,
    },
    /// Deletes a token
    #[command(after_help = "Example:\n  leitstand container token delete 3")]
    Delete {
        /// Its number
        id: i64,
        #[command(flatten)]
        state: StateArg,
    },
    /// Takes the tokens of an Anweddol server over, so that they go on working
    #[command(
        after_help = "Example:\n  leitstand container token import /etc/anweddol/credentials/access_token.db"
    )]
    Import {
        /// Its access_token.db
        file: PathBuf,
        #[command(flatten)]
        state: StateArg,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Makes a token and prints it, once
    #[command(
        after_help = "Example:\n  leitstand token new --name kiosk --role viewer --expires 365d"
    )]
    New {
        /// What the token is for
        #[arg(long)]
        name: String,
        /// What its bearer may do
        #[arg(long, value_enum)]
        role: RoleArg,
        /// Ends by itself after this time: 12h, 30d, 52w
        #[arg(long, value_name = "SPAN", value_parser = span)]
        expires: Option<std::time::Duration>,
        #[command(flatten)]
        state: StateArg,
    },
    /// Lists tokens, never their secrets
    #[command(after_help = "Example:\n  leitstand token list --state /var/lib/leitstand")]
    List {
        #[command(flatten)]
        state: StateArg,
    },
    /// Ends a token at once
    #[command(after_help = "Example:\n  leitstand token revoke kiosk")]
    Revoke {
        /// Name given at its making
        name: String,
        #[command(flatten)]
        state: StateArg,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Adds a person, or sets a new password and role; the password is read from STDIN
    #[command(after_help = "Example:\n  leitstand user add anna --role operator")]
    Add {
        /// Login name: lower-case letters, digits, `.`, `_`, `-`
        name: String,
        /// What the person may do
        #[arg(long, value_enum)]
        role: RoleArg,
        #[command(flatten)]
        state: StateArg,
    },
}

/// What someone may do; each role includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RoleArg {
    /// Looks
    Viewer,
    /// Acknowledges, silences, plays
    Operator,
    /// Resets, inhibits, overrides outputs
    Engineer,
    /// Users, tokens, configuration
    Admin,
}

fn speed(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(x) if (0.1..=20.0).contains(&x) => Ok(x),
        _ => Err("a number from 0.1 to 20".into()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    // Ten years: far beyond any recording, and safe to turn into milliseconds.
    match text.parse::<f64>() {
        Ok(t) if (0.0..=315_360_000.0).contains(&t) => Ok(t),
        _ => Err("a number of seconds, 0 or more".into()),
    }
}

fn at(text: &str) -> Result<At, String> {
    let (what, t) = text
        .rsplit_once('@')
        .ok_or("expected SETPOINT@SECONDS, for example co_ap3@20")?;
    if what.is_empty() {
        return Err("the set point before the @ is missing".into());
    }
    Ok(At {
        what: what.to_owned(),
        t_s: seconds(t)?,
    })
}

fn span(text: &str) -> Result<std::time::Duration, String> {
    let hint = "a whole number with a unit: 90min, 12h, 30d, 52w";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        "w" => 604_800,
        _ => return Err(hint.into()),
    };
    let n: u64 = number.parse().map_err(|_| hint)?;
    match n.checked_mul(seconds) {
        // A century is "for ever" on purpose, more is a slip of the finger.
        Some(s) if s > 0 && s <= 100 * 366 * 86_400 => Ok(std::time::Duration::from_secs(s)),
        _ => Err("more than nothing, at most a hundred years".into()),
    }
}

fn addresses(text: &str) -> Result<Addresses, String> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (low, high) = part.split_once('-').unwrap_or((part, part));
        let parse = |s: &str| match s.trim().parse::<u8>() {
            Ok(a) if (1..=247).contains(&a) => Ok(a),
            _ => Err(format!("`{s}`: Modbus addresses are 1 to 247")),
        };
        let (low, high) = (parse(low)?, parse(high)?);
        if low > high {
            return Err(format!("`{part}`: the range is empty"));
        }
        for address in low..=high {
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    Ok(Addresses(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn walk(command: &clap::Command, path: &str, missing: &mut Vec<String>) {
            let typed = |c: &&clap::Command| c.get_name() != "help" && !c.is_hide_set();
            for sub in command.get_subcommands().filter(typed) {
                let path = format!("{path} {}", sub.get_name());
                if !sub
                    .get_after_help()
                    .is_some_and(|h| h.to_string().contains("leitstand "))
                {
                    missing.push(path.clone());
                }
                walk(sub, &path, missing);
            }
        }
        let mut missing = Vec::new();
        walk(&Cli::command(), "leitstand", &mut missing);
        assert!(missing.is_empty(), "no example in --help of {missing:?}");
    }

    #[test]
    fn times_of_commands_are_behind_the_last_at_sign() {
        assert_eq!(
            at("garage.co_ap3@20.5"),
            Ok(At {
                what: "garage.co_ap3".into(),
                t_s: 20.5
            })
        );
        for bad in ["co_ap3", "@5", "co@", "co@-1", "co@nan", "co@inf"] {
            assert!(at(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn spans_need_a_unit() {
        assert_eq!(span("30d"), Ok(std::time::Duration::from_secs(30 * 86_400)));
        assert_eq!(span("15min"), Ok(std::time::Duration::from_secs(900)));
        for bad in [
            "30",
            "d",
            "0d",
            "-1d",
            "1y",
            "99999999999999999999d",
            "4000000w",
        ] {
            assert!(span(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn addresses_are_ranges_without_doubles() {
        assert_eq!(addresses("1-3,2,247"), Ok(Addresses(vec![1, 2, 3, 247])));
        for bad in ["0", "248", "5-3", "", "1-", "a"] {
            assert!(addresses(bad).is_err(), "{bad} was taken");
        }
    }
}
