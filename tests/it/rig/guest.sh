# What the scripts of guests share. A guest tells its test what it finds by its serial console, in
# sections; `mill` is the program with what it needs to find its store.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin NO_COLOR=1
exec </dev/null >/dev/ttyS0 2>&1

# Begins a section.
section() {
    echo "== $1"
}

# Waits until a command goes well.
until_well() {
    local i
    for ((i = 0; i < 300; i++)); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.5
    done
    section "late: $*"
}

# Writes a job's program and hands the job in; records are counted from 1.
submit() {
    cat >"/usr/local/lib/gristmill/$1"
    chmod 755 "/usr/local/lib/gristmill/$1"
    mill job submit --owner prodsys - >>/tmp/submitted 2>&1 <<END
<executeJobs xmlns="urn:windmill:executor:1"><job jobID="$1"><transformation><transPath>$1</transPath>
</transformation><jobPars/></job></executeJobs>
END
}

show() {
    mill job show --json "$1"
}

settled() {
    show "$1" | grep -qE '"state":"(succeeded|failed|trashed)"'
}

# A section with what became of a record, when it is settled.
outcome() {
    until_well settled "$2"
    section "$1"
    show "$2"
}

# The last section.
switch_off() {
    section end
    echo o >/proc/sysrq-trigger
    sleep 1000
}
