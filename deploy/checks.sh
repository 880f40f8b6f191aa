# For the scripts that check what is here: a line for each check, and at the end how many there
# were.
passed=0
failed=0

# A name, and a command that must succeed. What it prints is shown if it does not.
check() {
    local name=$1 output status
    shift
    # In a condition (`check … || …`, `if check …`) `set -e` has no effect, and most of what the
    # command does could fail unseen.
    (set -e; false; true)
    if [ $? -eq 0 ]; then
        echo "FAIL $name: checked as a condition"
        failed=$((failed + 1))
        return 1
    fi
    output=$("$@" 2>&1)
    status=$?
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        printf 'ok   %s\n' "$name"
    else
        failed=$((failed + 1))
        printf 'FAIL %s\n%s\n' "$name" "$output"
    fi
    return "$status"
}

# The last line.
finish() {
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
}
