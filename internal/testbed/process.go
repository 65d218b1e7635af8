package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	osuser "os/user"
	"runtime"
	"strconv"
	"syscall"
)

// user is the unprivileged user that servers run as when this process is root,
// since PostgreSQL refuses root. A nil user is this process's own.
type user struct {
	name     string
	uid, gid int
}

// unprivileged returns the user that servers run as: nil unless this process is root.
func unprivileged() (*user, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := osuser.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err1 == nil && err2 == nil && uid != 0 {
			return &user{name: name, uid: uid, gid: gid}, nil
		}
	}
	return nil, errors.New("root can't run PostgreSQL, and there is neither a user postgres nor nobody to run it: run as another user")
}

// own gives path to the user.
func (u *user) own(path string) error {
	if u == nil {
		return nil
	}
	return os.Chown(path, u.uid, u.gid)
}

// command prepares a program to be run in dir, as the user, with nothing of this process's
// environment but its PATH: PG* or AWS_* variables must not reach a server.
func (u *user) command(ctx context.Context, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "LC_ALL=C.UTF-8", "LC_MESSAGES=C", "TZ=UTC"}
	cmd.SysProcAttr = attributes(u)
	return cmd
}

// process is a server that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when the server has ended
	err  error         // how it ended; to be read after done
}

// start runs cmd, which gets the signal if this process ends before it does.
func start(cmd *exec.Cmd, onDeath syscall.Signal) (*process, error) {
	dieWithParent(cmd.SysProcAttr, onDeath)
	p := &process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go p.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	return p, nil
}

// run starts the server and waits for its end, all on one thread: the kernel sends
// the signal of the parent's death when the thread dies that started the child, not
// the process, and the Go runtime may end any thread that no goroutine is locked to.
func (p *process) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.cmd.Start(); err != nil {
		started <- err
		return
	}
	started <- nil
	p.err = p.cmd.Wait()
	close(p.done)
}

// finish runs cmd, a program that ends by itself, and returns what it printed. It too
// ends with this process.
func finish(cmd *exec.Cmd) (string, error) {
	runtime.LockOSThread() // see run
	defer runtime.UnlockOSThread()
	dieWithParent(cmd.SysProcAttr, syscall.SIGKILL)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// alive returns an error once the server has ended.
func (p *process) alive() error {
	select {
	case <-p.done:
		return errEnded{p.err}
	default:
		return nil
	}
}

// errEnded says that a server ended unasked.
type errEnded struct{ err error }

func (e errEnded) Error() string {
	if e.err == nil {
		return "the server ended"
	}
	return "the server ended: " + e.err.Error()
}

// stop sends the signal and waits for the server's end; when ctx ends first, it kills
// the server and says so. How the server exits is nothing to report: it was told to.
func (p *process) stop(ctx context.Context, sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.cmd.Path, err)
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		err := fmt.Errorf("%s did not end in time and was killed: %w", p.cmd.Path, context.Cause(ctx))
		if kill := p.cmd.Process.Kill(); kill != nil && !errors.Is(kill, os.ErrProcessDone) {
			return errors.Join(err, kill)
		}
		<-p.done
		return err
	}
}
