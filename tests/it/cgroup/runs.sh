#!/bin/bash
# The first process of a guest: a daemon in a cgroup that was handed to it, and jobs that test what
# holds them. What it finds goes to the serial console; the test judges it.
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
. /srv/guest.sh
mount -t cgroup2 cgroup2 /sys/fs/cgroup
tree=/sys/fs/cgroup
echo +memory +pids >$tree/cgroup.subtree_control
mkdir -p $tree/mill/daemon $tree/own

cat >/tmp/gristmill.toml <<'END'
[xmpp]
jid = "executor@grid.test/panda"
server = "127.0.0.1:5222"
password_file = "/tmp/password"
[[supervisor]]
jid = "supervisor@grid.test"
owner = "prodsys"
[buffer]
url = "sqlite:/tmp/store/buffer.db"
# An emulated processor takes its time.
timeout = "30s"
[conductor]
lease = "2m"
retry_after = "1s"
slots = 2
[runner.process]
work_dir = "/tmp/mill"
cgroup = "/mill"
grace = "1s"
[runner.process.limits]
memory = "32 MiB"
processes = 20
[http]
listen = ""
END
(umask 077; echo mill >/tmp/password)

# Starts a daemon in a cgroup, with flags.
serve() {
    local cgroup=$1
    shift
    (
        echo 0 >"$tree/$cgroup/cgroup.procs"
        exec gristmill serve --config /tmp/gristmill.toml "$@" >>/tmp/log 2>&1
    ) &
    daemon=$!
}

mill() {
    gristmill "$@" --config /tmp/gristmill.toml
}

tried_in_vain() {
    show "$1" | grep -q 'no cgroups for runs any more'
}

lives() {
    if [ -e "/proc/$1" ]; then echo lives; else echo gone; fi
}

mkdir -p /tmp/store /usr/local/lib/gristmill
serve mill/daemon
until_well test -s /tmp/store/buffer.db

# Each of its children is below the limit of memory, the two together are not.
submit memory <<'END'
#!/bin/sh
own=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
grep . $own/memory.max $own/memory.oom.group $own/pids.max >/tmp/limits
hold() { python3 -ISc 'x = b"x" * 20_000_000; import time; time.sleep(1000)'; }
hold & hold & wait
END
submit forks <<'END'
#!/bin/sh
while :; do sleep 1000 & done
END
outcome memory 1
outcome forks 2
section limits
cat /tmp/limits

# Leaves its group, session, parent and cgroup (for one below), ignores TERM, and burns more than
# what stays behind.
submit flight <<'END'
#!/bin/sh
cat >flee <<'FLEE'
trap "" TERM
mkdir $1/inner
echo 0 >$1/inner/cgroup.procs
i=0
while [ $i -lt 20000 ]; do i=$((i + 1)); done
cut -d " " -f 14 /proc/$$/stat >/tmp/fled.ticks
cat /proc/self/cgroup >/tmp/fled.cgroup
echo $$ >/tmp/fled.pid
sleep 1000
FLEE
own=/sys/fs/cgroup$(cut -d: -f3 /proc/self/cgroup)
setsid sh -c "setsid sh flee $own &" &
until [ -s /tmp/fled.pid ]; do sleep 0.1; done
END
# Within its limits.
submit modest <<'END'
#!/bin/sh
exec python3 -ISc 'x = b"x" * 20_000_000'
END
outcome flight 3
section fled
cut -d: -f3 /tmp/fled.cgroup
echo "$(getconf CLK_TCK) $(cat /tmp/fled.ticks) $(lives "$(cat /tmp/fled.pid)")"
outcome modest 4

# Its daemon is killed and started again; then it wants too much.
submit adopted <<'END'
#!/bin/sh
echo started >>/tmp/adopted.starts
hold() { python3 -ISc 'x = b"x" * 20_000_000; import time; time.sleep(1000)'; }
hold &
until [ -e /tmp/go ]; do sleep 0.2; done
hold
END
until_well test -s /tmp/adopted.starts
kill -KILL $daemon
wait $daemon
rm /tmp/mill/held
serve mill/daemon
until_well test -s /tmp/mill/held
section adopted.limits
grep . $tree/mill/5-1/memory.max $tree/mill/5-1/pids.max
touch /tmp/go
outcome adopted 5
section adopted.starts
cat /tmp/adopted.starts

# Somebody kills its wrapper, and what is left has neither its folder nor its environment.
submit orphaned <<'END'
#!/bin/sh
[ ! -e /tmp/orphan.pid ] || exit 0
cd /
env -i setsid sleep 1000 &
echo $! >/tmp/orphan.pid
env -i sleep 1000
END
until_well test -s /tmp/orphan.pid
kill -KILL "$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' /tmp/mill/runs/6-1/journal)"
outcome orphaned 6
section orphan
lives "$(cat /tmp/orphan.pid)"

# Something else is where its cgroup should be.
mkdir $tree/mill/7-1
sleep 1000 &
squatter=$!
echo $squatter >$tree/mill/7-1/cgroup.procs
submit refused <<'END'
#!/bin/sh
END
outcome refused 7
kill $squatter
wait $squatter
rmdir $tree/mill/7-1

# Who handed the cgroup out takes it back, and hands out another one.
echo $daemon >$tree/cgroup.procs
(cd $tree/mill && rmdir daemon)
rmdir $tree/mill
submit vanished <<'END'
#!/bin/sh
END
until_well tried_in_vain 8
mkdir $tree/mill $tree/mill/daemon
echo $daemon >$tree/mill/daemon/cgroup.procs
outcome vanished 8

section left
(cd $tree/mill && ls -d */)

# A daemon whose own cgroup was handed to it, and one in the root.
kill $daemon
wait $daemon
cp /tmp/log /tmp/log.first
rm -r /tmp/mill
serve own --set runner.process.cgroup=auto
until_well test -s /tmp/mill/held
section own
cat /tmp/mill/held "/proc/$daemon/cgroup"
kill -KILL $daemon
wait $daemon
rm -r /tmp/mill
serve own/service --set runner.process.cgroup=auto
until_well test -s /tmp/mill/held
section again
cat /tmp/mill/held "/proc/$daemon/cgroup"
kill $daemon
wait $daemon
rm -r /tmp/mill
serve . --set runner.process.cgroup=auto
until_well test -s /tmp/mill/held
section root
cat /tmp/mill/held

section log
cat /tmp/log.first
switch_off
