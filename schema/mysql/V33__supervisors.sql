-- Which owner each supervisor of a daemon (its full JID) has: a JID must not leave an owner's jobs.
CREATE TABLE IF NOT EXISTS supervisors (
    id     BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    daemon VARBINARY(3072) NOT NULL,
    jid    VARBINARY(3072) NOT NULL,
    owner  VARBINARY(255)  NOT NULL
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
