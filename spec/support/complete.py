"""Types a command line into a real bash or zsh on a terminal, presses Tab, and prints the words that the shell has then.

complete.py bash|zsh FOLDER LINE

FOLDER has the completion (prosodyctl.bash, _prosodyctl). Tab inserts every match, and `prosodyctl` is a function that prints its
arguments, one a line.
"""
import os, pty, select, signal, sys, time

SETUP = {
    "bash": r"""
source "$FOLDER/prosodyctl.bash"
bind 'set enable-bracketed-paste off'
bind '"\t": insert-completions'
prosodyctl() { printf '<%s>\n' "$@"; echo '=END='; }
""",
    "zsh": r"""
fpath=("$FOLDER" $fpath)
autoload -Uz compinit; compinit -u -d "$FOLDER/.zcompdump"
zstyle ':completion:all-matches:*' completer _all_matches _complete
zstyle ':completion:all-matches:*' old-matches false
zstyle ':completion:all-matches:*' insert true
zle -C all-matches complete-word _generic
bindkey '^I' all-matches
unset zle_bracketed_paste
prosodyctl() { printf '<%s>\n' "$@"; echo '=END='; }
""",
}
shell, folder, line = sys.argv[1:]
deadline = time.monotonic() + 30
pid, terminal = pty.fork()
if pid == 0:
    os.environ.update(FOLDER=folder, TERM="dumb", PS1="", LC_ALL="C.UTF-8")
    os.execvp(shell, {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell])


def read_until(end):
    seen = b""
    while end not in seen:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            sys.exit("no answer from the shell: %r" % seen)
        try:
            seen += os.read(terminal, 65536)
        except OSError:
            sys.exit("the shell has ended: %r" % seen)
    return seen.decode()


try:
    # A terminal takes 4096 bytes a line, and shows what is typed: the markers are not written as they are printed.
    for command in SETUP[shell].strip().split("\n"):
        os.write(terminal, command.encode() + b"\n")
    os.write(terminal, b"printf '=%s=\\n' READY\n")
    read_until(b"=READY=\r\n")
    os.write(terminal, line.encode() + b"\t\n")
    shown = read_until(b"=END=\r\n").replace("\r", "").split("\n")
    print("\n".join(word[1:-1] for word in shown if word.startswith("<") and word.endswith(">")))
finally:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
