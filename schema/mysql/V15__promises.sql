-- The lengths that each holder of claims lives by. A rescuer goes by the longer of these and its own.
CREATE TABLE IF NOT EXISTS promises (
    holder       VARBINARY(128) NOT NULL PRIMARY KEY,
    lease_us     BIGINT         NOT NULL,   -- of a claim, in microseconds
    run_lease_us BIGINT         NOT NULL,   -- of a run
    grace_us     BIGINT         NOT NULL    -- what a rescuer waits beyond
) ENGINE = InnoDB
