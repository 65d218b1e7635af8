//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"github.com/pgmove/pgmove/internal/testbed"
)

// slowly is a database that takes its time on the target, of which it wants the name: to load, and to build an index.
const slowly = shop + `
CREATE FUNCTION dozes(n int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	IF pg_catalog.current_database() = '%s' THEN PERFORM pg_catalog.pg_sleep(0.06); END IF;
	RETURN true;
END $$;
CREATE TABLE a_table_with_quite_a_long_name_that_no_line_has_room_for (n int CHECK (dozes(n)), v text);
INSERT INTO a_table_with_quite_a_long_name_that_no_line_has_room_for SELECT g, repeat('v', 50000) FROM generate_series(1, 25) g;
CREATE INDEX takes_its_time ON a_table_with_quite_a_long_name_that_no_line_has_room_for (dozes(n));
`

// slowDatabases are a source with that, and a target that is slow.
func slowDatabases(t *testing.T) (p *testbed.Postgres, source, target string) {
	t.Helper()
	p = testbed.Shared(t, 0)
	source, target = testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, source, strings.Replace(slowly, "%s", target, 1))
	return p, source, target
}

// terminalRun is the compiled pgmove on a terminal, stdout too, and what can be seen there.
type terminalRun struct {
	cmd  *exec.Cmd
	tty  *os.File
	term vt10x.Terminal
	mu   sync.Mutex
	raw  strings.Builder
	done chan struct{}
}

func onTerminal(t *testing.T, cols, rows int, env []string, args ...string) *terminalRun {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	r := &terminalRun{cmd: exec.CommandContext(t.Context(), file, args...), term: vt10x.New(vt10x.WithSize(cols, rows)), done: make(chan struct{})}
	r.cmd.Env = append(append(os.Environ(), "TERM=xterm-256color", "LC_ALL=C.UTF-8", "NO_COLOR="), env...)
	if r.tty, err = pty.StartWithSize(r.cmd, &pty.Winsize{Cols: uint16(cols), Rows: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(r.done)
		buf := make([]byte, 64<<10)
		for {
			n, err := r.tty.Read(buf)
			r.mu.Lock()
			r.raw.Write(buf[:n])
			_, _ = r.term.Write(buf[:n])
			r.mu.Unlock()
			if err != nil {
				return // the last of those who had the terminal open is gone
			}
		}
	}()
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		_ = r.tty.Close()
	})
	return r
}

func (r *terminalRun) screen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := strings.Split(r.term.String(), "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.TrimRight(strings.Join(lines, "\n"), "\n")
}

// await waits until all of these can be seen at once.
func (r *terminalRun) await(t *testing.T, want ...string) string {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for time.Now().Before(deadline) {
		s, all := r.screen(), true
		for _, w := range want {
			all = all && strings.Contains(s, w)
		}
		if all {
			return s
		}
		select {
		case <-r.done:
			t.Fatalf("it ended, and never showed %q; at last:\n%s", want, r.screen())
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatalf("never seen: %q; now:\n%s", want, r.screen())
	return ""
}

// end waits for the exit code.
func (r *terminalRun) end(t *testing.T) int {
	t.Helper()
	select {
	case <-r.done:
	case <-time.After(120 * time.Second):
		t.Fatalf("it does not end:\n%s", r.screen())
	}
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode()
}

// TestBars looks at the terminal of a slow run, as its user does.
func TestBars(t *testing.T) {
	t.Parallel()
	p, src, dst := slowDatabases(t)
	r := onTerminal(t, 80, 40, nil, "run", "--source", p.URL(src), "--target", p.URL(dst), "--jobs", "2")
	s := r.await(t, "run ", "restore: data and indexes", "dump data", "load data", "load    public.a_")
	t.Logf("while it loads:\n%s", s)
	if !strings.Contains(s, "…") || !strings.Contains(s, "public.a_") {
		t.Errorf("the long name is not shortened:\n%s", s)
	}
	for i, l := range strings.Split(s, "\n") {
		if n := len([]rune(l)); n > 79 {
			t.Errorf("line %d is %d columns wide: %q", i, n, l)
		}
	}
	s = r.await(t, "apply   INDEX public.takes_its_time", "indexes", "done")
	t.Logf("while it builds:\n%s", s)
	if n := strings.Count(s, "load data"); n != 1 {
		t.Errorf("%d bars of what is loaded:\n%s", n, s)
	}
	if code := r.end(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	s = r.screen()
	t.Logf("at the end:\n%s", s)
	wantText(t, s, "verdict", "total (4)", "equal", "validated:")
	for _, gone := range []string{"█", "░", "ETA", "apply "} {
		if strings.Contains(s, gone) {
			t.Errorf("%q is still there:\n%s", gone, s)
		}
	}
	if !r.term.CursorVisible() {
		t.Error("the cursor is hidden")
	}
}

// TestBarsAndSignal interrupts a run: the message stands alone, the bars are gone, the cursor is there.
func TestBarsAndSignal(t *testing.T) {
	t.Parallel()
	p, src, dst := slowDatabases(t)
	r := onTerminal(t, 80, 24, []string{"NO_COLOR=1"}, "run", "--source", p.URL(src), "--target", p.URL(dst), "--jobs", "2")
	r.await(t, "load data", "load    ")
	if err := r.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := r.end(t); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	s := r.screen()
	t.Logf("at the end:\n%s", s)
	wantText(t, s, "pgmove: interrupt: stopping", "stopped by a signal")
	if strings.Contains(s, "█") || strings.Contains(s, "dump data") {
		t.Errorf("bars are left:\n%s", s)
	}
	if !r.term.CursorVisible() {
		t.Error("the cursor is hidden")
	}
	if strings.Contains(r.raw.String(), "\x1b[3") {
		t.Error("colours in spite of NO_COLOR")
	}
}

// TestNoBars runs on terminals that can't have bars: plain lines, and no escape sequence.
func TestNoBars(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cols int
		env  []string
		args []string
	}{
		{"dumb", 80, []string{"TERM=dumb"}, nil},
		{"narrow", 30, nil, nil},
		{"no-progress", 80, nil, []string{"--no-progress"}},
		{"text", 80, nil, []string{"--log-format", "text"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, src, dst := shopDatabases(t)
			args := append([]string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--jobs", "2"}, c.args...)
			r := onTerminal(t, c.cols, 60, c.env, args...)
			if code := r.end(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			raw := r.raw.String()
			if strings.Contains(raw, "\x1b") {
				t.Errorf("escape sequences: %q", raw)
			}
			wantText(t, raw, "restore: data and indexes", "run ended: equal, 22500 rows", "verdict")
			if done := strings.Contains(raw, "table public.orders done: 20000 rows"); done != (c.name == "text") {
				t.Errorf("lines of tables: %v\n%s", done, raw)
			}
		})
	}
}
