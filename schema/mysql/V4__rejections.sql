-- Keys that were answered `rejected`, and when last; attempt 0 stands for all attempts.
CREATE TABLE IF NOT EXISTS rejections (
    owner   VARBINARY(255) NOT NULL,
    job_id  VARBINARY(256) NOT NULL,
    attempt INT UNSIGNED   NOT NULL,
    at      BIGINT         NOT NULL,
    PRIMARY KEY (owner, job_id, attempt),
    KEY rejections_by_time (at)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC
