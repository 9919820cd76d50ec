//! Every error that people read, once: its number, what a command that fails with it ends with,
//! its title, what it means and what to do. Numbers are never given to another error.

use super::Kind;
use Kind::{Bug, Configuration, Conflict, Failed, NotFound, Unreachable, Usage};

/// What is told of an error.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) title: &'static str,
    pub(super) meaning: &'static str,
    pub(super) remedy: &'static str,
}

macro_rules! errors {
    ($($name:ident = $number:literal, $kind:ident: $title:literal; $meaning:literal; $remedy:literal)*) => {
        /// The errors that people read, by what they are about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        pub enum Code {
            $(#[doc = $title] $name = $number,)*
        }

        impl Code {
            /// All of them, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub(super) fn entry(self) -> Entry {
                let (kind, title, meaning, remedy) = match self {
                    $(Self::$name => ($kind, $title, $meaning, $remedy),)*
                };
                Entry { kind, title, meaning, remedy }
            }
        }
    };
}

// 1xx the program, 2xx configuration, 3xx store, 4xx XMPP, 5xx running jobs, 6xx health, doctor and
// capture, 7xx jobs, 8xx replay and demo, 9xx bugs.
errors! {
    SystemRefuses = 102, Failed: "the system gives too little to work with";
        "The kernel lets this user have no more threads, open files or signal handlers."; "Raise its limits (ulimit -u and -n; TasksMax=, LimitNOFILE=)."
    OutputUnwritable = 103, Failed: "standard output cannot be written";
        "Where the output goes takes no more."; "Make room there, or write it elsewhere."
    NotConfirmed = 104, Usage: "nobody was asked";
        "What a filter changes is confirmed at a terminal, and there is none."; "Say --yes where it is meant."
    NothingDone = 105, Failed: "nothing was done";
        "The question was not answered with yes."; "Answer y, or say --yes."
    AnswerUnreadable = 106, Failed: "no answer can be read";
        "The terminal gives no line."; "Say --yes where it is meant."
    FileUnwritable = 107, Failed: "a file cannot be written";
        "What a command was to write (man pages, an archive) cannot be made."; "Check the folder, and who may write there."
    UnknownCode = 108, NotFound: "there is no such error";
        "No error of this version has that number."; "List them with `gristmill explain`."
    FileExists = 109, Conflict: "the file is there already";
        "Nothing is written over it."; "Name another file with --output."
    NoTerminal = 110, Usage: "the live screen wants a terminal";
        "Standard input or output is a file or a pipe."; "Read `gristmill job list --json`, or /metrics at http.listen."

    ConfigUnreadable = 201, Configuration: "the configuration cannot be read";
        "The file, or conf.d beside it, is not there or closed to this user."; "Name the file with --config; check its rights."
    ConfigSyntax = 202, Configuration: "the configuration is not TOML";
        "The file breaks off at the line and column that are named."; "Correct that line; https://toml.io tells the form."
    UnknownKey = 203, Configuration: "there is no such key";
        "A key or a section is misspelt, or of another version."; "Take the key that is proposed; `gristmill config default` shows all."
    MissingKey = 204, Configuration: "a key is missing";
        "A key without a default is not set."; "Set it; `gristmill config default` tells what it means."
    WrongValue = 205, Configuration: "a value is of the wrong form";
        "The value is no such text, number, duration or size."; "Write it as the message shows, with its unit."
    Contradiction = 206, Configuration: "a value cannot be";
        "The value is outside its bounds, or does not go with another one."; "Change it as the message says."
    KeyForm = 207, Usage: "no key of the form section.key";
        "--set or an environment variable names no key."; "Write --set section.key=value."
    SecretMissing = 208, Configuration: "a password is missing";
        "The XMPP account's password is not configured."; "Set xmpp.password_file, or give systemd LoadCredential=xmpp-password:…"
    SecretUnusable = 209, Configuration: "a secret cannot be used";
        "Its file cannot be read, is empty, too long, or open to everybody."; "Write the password alone into a file of mode 600."
    OwnerInvalid = 210, Configuration: "an owner's name is invalid";
        "The name under which a supervisor's jobs are stored cannot be one."; "Correct [[supervisor]] owner."
    UserUnknown = 211, Configuration: "there is no such user";
        "runner.user or runner.allow_users names nobody."; "Name a user that `getent passwd` shows, or its number."
    AuthoritiesUnusable = 212, Configuration: "there are no authorities to trust";
        "xmpp.ca_file or buffer.ca_file cannot be read, or holds no certificate."; "Name a file with certificates in PEM form."

    StoreUnreachable = 301, Unreachable: "the store cannot be reached";
        "Nobody answers where buffer.url points to, or its disk is away."; "Start it, or correct buffer.url; the daemon waits for it."
    StoreRefused = 302, Unreachable: "the store lets nobody in";
        "The server refuses the user, its password, or TLS."; "Check the user of buffer.url, buffer.password_file and buffer.ca_file."
    StoreInUse = 303, Conflict: "another daemon has the store";
        "An SQLite file belongs to one daemon."; "Stop the other one, or give this one a file of its own."
    SchemaTooNew = 304, Failed: "the store's schema is newer";
        "A newer gristmill has migrated it."; "Install that version."
    SchemaTooOld = 305, Failed: "the store's schema is older";
        "It lacks steps, and this command takes none."; "Run `gristmill migrate`."
    Orphans = 306, Configuration: "jobs belong to no supervisor";
        "Jobs that have not ended, or whose end was not reported, belong to an owner that no supervisor has, or that its JID had before."; "Give the [[supervisor]] its owner back until they are reported, or set buffer.allow_orphans."
    StoreInvalid = 307, Configuration: "this cannot be a store";
        "What buffer.url names is no store, or cannot be made one."; "Check buffer.url and the rights of its folder."
    StoreMute = 308, Unreachable: "the store does not answer";
        "It was there and gave no answer in time."; "Try again; look at the server's load and log."
    StoreTrouble = 310, Failed: "the store cannot do it";
        "It is full, takes no writes or is damaged, or another program changed it meanwhile."; "Make room; look at it with the store's own client; try again."
    StoreRestored = 311, Conflict: "the store is not the newest one";
        "It is an older copy, or another store, than answers were given from."; "Put the newest store back, or accept the loss: `gristmill migrate --accept-restored`."

    LoginFailed = 401, Unreachable: "no log-in to the XMPP server";
        "The server is away, not trusted, or refuses the account."; "`gristmill doctor` tells which; check xmpp.jid and its password."
    DoorRefused = 402, Unreachable: "the XMPP server refuses us";
        "It never let this account in, or its certificate is not trusted."; "Check the account, xmpp.password_file and xmpp.ca_file."
    WrongResource = 403, Configuration: "the server gave another resource";
        "Supervisors would not find the daemon under its name."; "Give xmpp.jid a resource that the server allows."
    ResourceTaken = 404, Conflict: "another client takes our resource";
        "Two programs run with the same xmpp.jid."; "Stop one of them, or give it a resource of its own."
    ServerUnreachable = 405, Unreachable: "the XMPP server cannot be reached";
        "Nobody takes the connection."; "Check xmpp.server, DNS, and whether it runs."
    CertificateRefused = 406, Unreachable: "the server's certificate is not trusted";
        "It has expired, is another's, or by an unknown authority."; "Renew it on the server, or correct xmpp.ca_file."

    WorkDirInUse = 501, Conflict: "another daemon has the folder of runs";
        "runner.process.work_dir belongs to one daemon or runner."; "Stop the other one, or give this one a folder of its own."
    WorkDirUnusable = 502, Configuration: "the folder of runs cannot be used";
        "It cannot be made or written to."; "Check runner.process.work_dir and who may write there."
    KernelTooOld = 503, Failed: "the kernel cannot run jobs";
        "It lacks what a run's wrapper needs."; "Use a newer kernel, or set conductor.enabled = false."
    HolderName = 504, Failed: "the folder of runs has a name that cannot be";
        "Its file `holder` was changed."; "Take the file away while no job is claimed."
    OtherStore = 505, Conflict: "the folder of runs is of another store";
        "It holds runs of another store's jobs."; "Give this daemon a new runner.process.work_dir."
    RunnerNotWanted = 506, Configuration: "the daemon runs the jobs itself";
        "runner.in_process is true, so `gristmill runner` has nothing to do."; "Set runner.in_process = false for both."
    SocketInUse = 507, Conflict: "another runner listens";
        "runner.socket belongs to one runner."; "Stop the other one, or give this one a socket of its own."
    SocketUnusable = 508, Configuration: "the runner cannot listen";
        "runner.socket is no socket, or its folder is open or closed to the wrong users."; "Correct the folder's owner and mode as the message says."
    RunnerAway = 509, Unreachable: "no runner answers";
        "Nobody listens at runner.socket, or one of both does not trust the other."; "Start `gristmill runner`; check runner.user and runner.allow_users."
    ProgramsMissing = 510, Configuration: "there is no folder of programs";
        "A folder of runner.process.transformations is not there, or empty; no job is started then."; "Mount it, or make it, and put the jobs' programs there, or correct the key."
    HolderMissing = 511, Conflict: "the folder of runs has lost its name";
        "It has runs, and its file `holder` was removed or emptied: the claims of these runs would count as another's."; "Put the file back as the message says, or move runs/ away once none of them lives."
    HolderTwice = 512, Conflict: "another daemon conducts under our name";
        "Of runner.process.work_dir of both, one is a copy of the other."; "Stop one of both; take `holder` and `runs` out of the folder that is a copy."

    ListenTaken = 601, Conflict: "the place for health is taken";
        "Another process listens at http.listen."; "Stop it, or give http.listen another place, or \"\"."
    ListenUnusable = 602, Configuration: "nobody can listen for health";
        "http.listen cannot be bound."; "Check that its folder is there and may be written to."
    CaptureFailed = 603, Failed: "the daemon cannot capture";
        "The folder cannot be written to, or is full."; "Name a new folder that the daemon's user may write to."
    CaptureControl = 604, Configuration: "no word can be left for the daemon";
        "capture.control cannot be read or written."; "Ask as the daemon's user or root; check capture.control."
    FolderName = 605, Usage: "this is no folder";
        "The name cannot be one of a folder."; "Name another one."
    DaemonNotReady = 606, Failed: "the daemon is not ready";
        "It runs, and something keeps it from work."; "The reasons stand beside it, and in its log."
    DiskFull = 607, Failed: "a disk has no room";
        "The store or the runs will fail soon, or the disk cannot be asked."; "`gristmill purge`, or a larger disk."
    FolderUnwritable = 608, Configuration: "a folder cannot be written to";
        "The daemon makes files there."; "Make the folder and chown it to the daemon's user."
    ProgramsOpen = 609, Configuration: "everybody may put programs there";
        "Whoever can write there decides what jobs run."; "chmod o-w the folder."
    CheckLate = 610, Unreachable: "a look took too long";
        "Something does not answer, perhaps a file system."; "Find out what it waits for."

    NoSuchRecord = 701, NotFound: "there is no such record";
        "The store was asked and has none of that ID."; "`gristmill job list` shows what there is."
    SomeAbsent = 703, NotFound: "some records are not there";
        "The others were dealt with as the lines say."; "`gristmill job list` shows what there is."
    SomeDeclined = 704, Conflict: "some records are not in a state for it";
        "The others were dealt with as the lines say."; "`gristmill job why` tells; --force where the message offers it."
    SomeUnreadable = 705, Failed: "some records cannot be read";
        "The others were dealt with as the lines say."; "Look at them with the store's own client."
    Purged = 706, NotFound: "what it wrote was purged";
        "Only the record's name and final word are kept."; "Nothing can be done; purge later."
    JobUnreadable = 707, Failed: "a record's XML cannot be read";
        "The stored job is damaged, or of another version."; "`gristmill job show` prints it as it is."
    NeverStarted = 708, NotFound: "it was never started";
        "There is no output without a run."; "`gristmill job why` says what it waits for."
    NoRunFolder = 709, NotFound: "its run has no folder here";
        "It ran on another machine, or its folder was not kept."; "Ask there; runner.process.keep_work says what is kept."
    OutputGone = 710, NotFound: "there is no such output";
        "The run has written no such file."; "Ask for the other one (--stderr)."
    OutputUnreadable = 711, Failed: "its output cannot be read";
        "It is the runner's, or its disk is away."; "Ask as the runner's user, or as root."
    OwnerUnknown = 712, Usage: "no supervisor has that owner";
        "Jobs of an owner that nobody has would be nobody's."; "Name a configured owner."
    OwnerUnsaid = 713, Usage: "whose jobs are these?";
        "There is more than one supervisor."; "Say --owner."
    NotExecuteJobs = 714, Failed: "the document is no executeJobs";
        "Only jobs can be submitted."; "`gristmill replay` sends any document."
    SubmitUnanswered = 716, Unreachable: "the store could not take the jobs";
        "It is away or busy; as far as is known nothing was stored."; "Send it again, that is harmless."
    SubmitRefused = 718, Failed: "the document was refused";
        "It breaks a rule of the protocol."; "Correct it as the message says."
    SomeConflict = 719, Conflict: "other jobs are there under these names";
        "The first content stays."; "Hand them in under a new attempt."
    SomeRefused = 720, Failed: "some jobs were refused";
        "The others are stored."; "Correct them as the lines say."

    RepliesDiffer = 801, Failed: "replies differ";
        "What is said is not what NAME.reply.xml expects."; "Look at the difference; correct what is wrong of both."
    NothingCompared = 802, Failed: "nothing was compared";
        "No document has a reply beside it."; "Write NAME.reply.xml beside NAME.xml."
    NoTemporaryRoom = 803, Failed: "no room for a temporary store";
        "No folder can be made in TMPDIR."; "Make room there, or set TMPDIR."
    SupervisorOffline = 804, Unreachable: "the supervisor cannot go online";
        "The XMPP server is away or refuses the account of --as."; "Check --as, --password-file and xmpp.server."
    NotUtf8 = 805, Failed: "XMPP carries UTF-8 only";
        "The document holds other bytes."; "Send it with --via bridge."
    NoReply = 806, Unreachable: "no answer came";
        "The daemon is away, or does not listen to this sender."; "Is it in [[supervisor]], and the daemon online?"
    AccountMissing = 807, Usage: "--via xmpp needs an account";
        "A supervisor logs in with a JID and a password."; "Say --as JID and --password-file FILE."
    SenderInvalid = 808, Usage: "--as names no owner";
        "The JID cannot be the name of an owner."; "Name another JID."
    NoDocument = 809, NotFound: "there is no document";
        "The folders hold no file that ends in .xml."; "Name files or folders with documents."
    FileUnreadable = 810, NotFound: "a file cannot be read";
        "It is not there, or closed to this user."; "Check its name and rights."
    DemoSurprised = 813, Failed: "the demo did not go as it must";
        "An answer was an error, or late, or not what each job must come to."; "Try it on a quieter machine, where TMPDIR may hold programs; then report it, with --verbose."
    DemoBroken = 814, Failed: "the demo cannot go on";
        "This machine lacks something that it needs."; "Look at the cause."

    Internal = 901, Bug: "a bug of ours"; "Something met what cannot be."; "Report it, with what was asked."
    PartBroken = 903, Bug: "a part of the daemon broke down";
        "It ends, and systemd starts it again."; "Report it, with the log."
}
