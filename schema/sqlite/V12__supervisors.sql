-- Which owner each supervisor of a daemon (its full JID) has: a JID must not leave an owner's jobs.
CREATE TABLE supervisors (
    daemon TEXT NOT NULL,
    jid    TEXT NOT NULL,
    owner  TEXT NOT NULL,
    PRIMARY KEY (daemon, jid)
) STRICT, WITHOUT ROWID;
