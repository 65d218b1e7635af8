package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// pipeline are commands whose output goes into the next one's input.
type pipeline [][]string

// usage is what clients took.
type usage struct {
	wall time.Duration
	cpu  time.Duration // user and system, of all processes of the clients
	rss  int64         // peak of the largest process; those of a pipeline add up
}

// patience is how long clients have to end when they are told to.
const patience = 20 * time.Second

// clients runs pipelines one after the other and measures them.
func clients(ctx context.Context, dir string, env []string, lines []pipeline) (usage, error) {
	var total usage
	started := time.Now()
	for _, line := range lines {
		u, err := line.run(ctx, dir, env)
		total.cpu += u.cpu
		total.rss = max(total.rss, u.rss)
		if err != nil {
			return total, err
		}
	}
	total.wall = time.Since(started)
	return total, nil
}

// run runs the commands of a pipeline at the same time.
func (p pipeline) run(ctx context.Context, dir string, env []string) (usage, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmds := make([]*exec.Cmd, len(p))
	logs := make([]*lastLines, len(p))
	var opened []*os.File
	defer func() {
		for _, f := range opened {
			_ = f.Close() // a second time, where all went well
		}
	}()
	for i, argv := range p {
		cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
		cmd.Dir, cmd.Env = dir, env
		// A group of its own: a terminal's Ctrl-C is for the bench, and a tool's children go with it.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
		cmd.WaitDelay = patience
		logs[i] = &lastLines{}
		cmd.Stderr = logs[i]
		if i > 0 {
			r, w, err := os.Pipe()
			if err != nil {
				return usage{}, err
			}
			opened = append(opened, r, w)
			cmds[i-1].Stdout, cmd.Stdin = w, r
		}
		cmds[i] = cmd
	}
	for i, cmd := range cmds {
		if err := cmd.Start(); err != nil {
			cancel()
			for _, c := range cmds[:i] {
				_ = c.Wait() // it was told to end
			}
			return usage{}, err
		}
	}
	// The last holder of a pipe's end must be the client, or its reader never sees the end.
	for _, f := range opened {
		if err := f.Close(); err != nil {
			return usage{}, err
		}
	}
	var u usage
	var errs []error
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w\n%s", strings.Join(p[i], " "), err, logs[i]))
		}
		u.add(cmd.ProcessState)
	}
	return u, errors.Join(errs...)
}

// add adds what a process took. The system counts its children's time to it, and for
// memory the largest of them.
func (u *usage) add(st *os.ProcessState) {
	if st == nil {
		return
	}
	u.cpu += st.UserTime() + st.SystemTime()
	if r, ok := st.SysUsage().(*syscall.Rusage); ok {
		size := r.Maxrss
		if runtime.GOOS != "darwin" { // where it is bytes
			size <<= 10
		}
		u.rss += size
	}
}

// lastLines keeps the end of what is written to it.
type lastLines struct{ b []byte }

func (l *lastLines) Write(p []byte) (int, error) {
	const keep = 2000
	l.b = append(l.b, p...)
	if len(l.b) > 2*keep {
		l.b = append(l.b[:0], l.b[len(l.b)-keep:]...)
	}
	return len(p), nil
}

func (l *lastLines) String() string { return strings.TrimSpace(string(l.b)) }
