package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pgmove/pgmove/internal/pgsession"
)

// grace is how long a stopped process takes to end at the most: Kubernetes kills after thirty seconds.
// A variable for the tests alone.
var grace = 20 * time.Second

// exit ends the process at once; a variable for the tests alone.
var exit = os.Exit

// untilSignal returns a context that SIGTERM and Ctrl-C end. After a second signal, or when the time of grace is over, the
// process ends as it is: what it had committed stays, and --resume goes on there.
func untilSignal(stderr io.Writer, resume func() string) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done, told := make(chan struct{}), make(chan struct{})
	go func() {
		var first os.Signal
		select {
		case first = <-signals:
			cancel(signalError{first})
			go func() { // who reads there may have stopped
				defer close(told)
				fmt.Fprintf(stderr, "pgmove: %s: stopping; once more to stop at once\n", first)
			}()
		case <-done:
			return
		}
		t := time.NewTimer(grace)
		defer t.Stop()
		select {
		case s := <-signals:
			exit(signalError{s}.code())
		case <-t.C:
			said := make(chan struct{})
			go func() {
				defer close(said)
				<-told
				fmt.Fprintf(stderr, "pgmove: stopped by a signal: %s; it did not end in %v\n%s", first, grace, resume())
			}()
			select {
			case <-said:
			case <-signals:
			case <-time.After(time.Second):
			}
			exit(signalError{first}.code())
		case <-done:
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		if ctx.Err() != nil {
			select {
			case <-told:
			case <-time.After(100 * time.Millisecond):
			}
		}
		cancel(nil)
	}
}

// signalError says that a signal ended the run.
type signalError struct{ os.Signal }

func (s signalError) Error() string { return "stopped by a signal: " + s.String() }

func (s signalError) code() int {
	if s.Signal == syscall.SIGTERM {
		return 143
	}
	return 130
}

// resumeLine is the line that tells how to go on, "" for a command that can't. Passwords are left out.
func resumeLine(args []string) string {
	if len(args) < 2 || !slices.Contains([]string{"run", "dump", "restore"}, args[1]) {
		return ""
	}
	line, secret, given := []string{"pgmove"}, false, false
	for n, a := range args[1:] {
		name, value, joined := strings.Cut(a, "=")
		if !joined || !strings.HasPrefix(a, "-") {
			name, value = "", a
			if n > 0 {
				name = args[n]
			}
		}
		if f := strings.TrimLeft(name, "-"); strings.HasPrefix(name, "-") && (f == "source" || f == "target") {
			shown := "…"
			if c, err := pgsession.Parse(value); err == nil {
				shown = c.Text()
			}
			secret = secret || shown != value
			if a = shown; joined && strings.HasPrefix(args[n+1], "-") {
				a = name + "=" + shown
			}
		} else if shown := userInfo.ReplaceAllString(a, "$1@"); shown != a {
			a, secret = shown, true
		}
		given = given || strings.TrimLeft(a, "-") == "resume" && strings.HasPrefix(a, "-")
		line = append(line, shellWord(a))
	}
	if !given {
		line = append(line, "--resume")
	}
	text := "  to go on: " + strings.Join(line, " ") + "\n"
	if secret {
		text += "  (with the passwords, which are not shown)\n"
	}
	return text
}

// userInfo matches a URL's user and password.
var userInfo = regexp.MustCompile(`(://[^/:@]*):[^/]*@`)

// shellWord quotes a word for a shell where it needs that.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_=+./:@%,", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
