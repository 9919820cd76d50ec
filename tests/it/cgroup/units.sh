#!/bin/bash
# The package's units under a systemd of their own, with jobs in the cgroup that they hand out.
. /srv/guest.sh
jobs=/sys/fs/cgroup/gristmill.slice/gristmill-jobs.slice/gristmill-jobs.service

mill() {
    runuser -u gristmill -- gristmill "$@"
}

# What is in force for a record's first run.
limits() {
    grep . "$jobs/$1-1/memory.max" "$jobs/$1-1/pids.max"
}

runner_runs() {
    systemctl is-active gristmill-runner gristmill &&
        systemctl show --value -p StatusText gristmill | grep -q '1 running'
}

runner_came_back() {
    [ "$(systemctl show --value -p NRestarts gristmill-runner)" -gt 0 ]
}

mkdir -p /usr/local/lib/gristmill
systemctl start gristmill
# Two processes of half the limit each, the second one when it is told to.
submit patient <<'END'
#!/bin/sh
echo started >>/tmp/starts
hold() { python3 -ISc 'x = b"x" * 20_000_000; import time; time.sleep(1000)'; }
hold &
until [ -e /tmp/go ]; do sleep 0.2; done
hold
END
# The jobs' /tmp.
tmp=/var/lib/gristmill-runner/tmp
until_well test -s $tmp/starts
section held
cat /var/lib/gristmill-runner/work/held
echo
limits 1

section restarted
systemctl daemon-reload
systemctl set-property --runtime gristmill-jobs MemoryMax=400M
systemctl restart gristmill-runner && echo well
until_well runner_runs
limits 1
systemctl kill --signal KILL --kill-whom main gristmill-runner
until_well runner_came_back
until_well runner_runs
section killed
limits 1

# Its keeper dies, and cannot come back while the job lives; others run all the same.
systemctl kill --signal KILL --kill-whom main gristmill-jobs
submit beside <<'END'
#!/bin/sh
cat /proc/self/cgroup >/tmp/beside
END
outcome beside 2
section beside.cgroup
cat $tmp/beside

touch $tmp/go
outcome patient 1
section starts
cat $tmp/starts
until_well systemctl is-active gristmill-jobs
submit afterwards <<'END'
#!/bin/sh
cat /proc/self/cgroup >/tmp/afterwards
END
outcome afterwards 3
section afterwards.cgroup
cat $tmp/afterwards
section left
(cd $jobs && ls -d */)

section log
journalctl --no-pager --output cat --unit gristmill-runner --unit gristmill --unit gristmill-jobs
switch_off
