-- Jobs that were not stored: the last reason for each.
CREATE TABLE IF NOT EXISTS refusals (
    owner   VARBINARY(255) NOT NULL,
    job_id  VARBINARY(256) NOT NULL,
    attempt INT UNSIGNED   NOT NULL,
    code    VARBINARY(64)  NOT NULL,
    text    MEDIUMBLOB     NOT NULL,
    at      BIGINT         NOT NULL,
    PRIMARY KEY (owner, job_id, attempt)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
