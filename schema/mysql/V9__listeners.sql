-- Whose jobs' changes are noted, and for which daemon (its full JID).
CREATE TABLE IF NOT EXISTS listeners (
    id     BIGINT          NOT NULL AUTO_INCREMENT PRIMARY KEY,
    owner  VARBINARY(255)  NOT NULL,
    daemon VARBINARY(3072) NOT NULL,
    KEY listeners_by_owner (owner)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
