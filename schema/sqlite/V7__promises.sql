-- The lengths that each holder of claims lives by. A rescuer goes by the longer of these and its own.
CREATE TABLE promises (
    holder       TEXT    NOT NULL PRIMARY KEY,
    lease_us     INTEGER NOT NULL,   -- of a claim, in microseconds
    run_lease_us INTEGER NOT NULL,   -- of a run
    grace_us     INTEGER NOT NULL    -- what a rescuer waits beyond
) STRICT, WITHOUT ROWID;
