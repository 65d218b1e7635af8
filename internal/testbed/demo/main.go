// Command demo shows pgmove at work on two throw-away servers; `make demo` runs it.
//
// It imports testbed and the standard library, and nothing else of pgmove: it runs
// bin/pgmove as a user would. It never touches a server, a folder or a setting that
// isn't its own, and leaves nothing behind.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

//go:embed shop.sql
var shop string

// mismatch is pgmove's exit code for a target that differs from the source.
const mismatch = 30

func main() {
	via := flag.String("via", "dir", "the way from source to target: dir (a folder as staging store), s3 (an S3 server) or direct")
	program := flag.String("pgmove", filepath.Join("bin", "pgmove"), "the pgmove program")
	flag.Parse()
	// SIGPIPE: when nobody reads on (make demo | head) all is put away as well.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGPIPE)
	d := &demo{program: *program, via: *via, out: os.Stdout}
	err := d.run(ctx)
	interrupted := err != nil && ctx.Err() != nil
	if cerr := d.close(); cerr != nil {
		interrupted = false
		err = errors.Join(err, fmt.Errorf("clean up: %w", cerr))
	}
	stop()
	switch {
	case interrupted:
		fmt.Println("\nInterrupted. All servers are stopped, all folders removed.")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
	fmt.Println("\nDone. All servers are stopped, all folders removed.")
}

// demo is one run of the demo.
type demo struct {
	program, via string
	out          io.Writer

	env     []string
	secrets []string
	ends    []func() error // undo what was started, last first
}

// close ends all that run started.
func (d *demo) close() error {
	var errs []error
	for i := len(d.ends) - 1; i >= 0; i-- {
		errs = append(errs, d.ends[i]())
	}
	return errors.Join(errs...)
}

// say begins a step.
func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "\n== "+format+"\n", args...)
}

func (d *demo) run(ctx context.Context) error {
	switch d.via {
	case "":
		d.via = "dir"
	case "dir", "s3", "direct":
	default:
		return fmt.Errorf("-via=%s: dir, s3 or direct is needed", d.via)
	}
	if _, err := os.Stat(d.program); err != nil {
		return fmt.Errorf("there is no %s: run `make build`", d.program)
	}
	fmt.Fprint(d.out, "This starts two private PostgreSQL servers, fills one with a small web shop, has pgmove move it to\n"+
		"the other, and then shows that pgmove finds a single changed row.\n")

	source, target, err := d.servers(ctx)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "pgmove-demo-")
	if err != nil {
		return err
	}
	d.ends = append(d.ends, func() error { return os.RemoveAll(dir) })
	location, flags, err := d.staging(ctx, dir)
	if err != nil {
		return err
	}

	report := filepath.Join(dir, "report.json")
	args := []string{"run", "--source", source.URL("shop"), "--target", target.URL("shop"), "--report", report}
	if location != "" {
		args = append(args, "--via", location)
	}
	d.say("Move it")
	if err := d.pgmove(ctx, 0, append(args, flags...)...); err != nil {
		return err
	}
	d.say("Compare the two databases by other means than pgmove's")
	diff, err := testbed.Difference(ctx, source, "shop", target, "shop")
	if err != nil {
		return err
	}
	if diff != "" {
		return fmt.Errorf("the databases differ:\n%s", diff)
	}
	fmt.Fprintln(d.out, "equal: schema, rows, sequences and large objects")

	expected := []string{"--digests", report}
	if location != "" {
		d.say("What the archive holds (stock pg_restore reads it too)")
		if err := d.pgmove(ctx, 0, append(append([]string{"inspect"}, flags...), location)...); err != nil {
			return err
		}
		expected = append([]string{"--archive", location}, flags...)
	}
	return d.tamper(ctx, target, append([]string{"validate", "--target", target.URL("shop")}, expected...))
}

// tamper changes one row of the target and has pgmove find it.
func (d *demo) tamper(ctx context.Context, target *testbed.Postgres, validate []string) error {
	const change = "UPDATE shop.order_line SET pieces = pieces + 1 WHERE number = 100001 AND line = 1"
	d.say("Change one row on the target, and validate it again")
	fmt.Fprintf(d.out, "target> %s\n", change)
	before, err := target.Value(ctx, "shop", "SELECT pieces FROM shop.order_line WHERE number = 100001 AND line = 1")
	if err != nil {
		return err
	}
	if err := target.Exec(ctx, "shop", change); err != nil {
		return err
	}
	if err := d.pgmove(ctx, mismatch, validate...); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "exit code %d: pgmove found it.\n", mismatch)
	d.say("Change it back")
	if err := target.Exec(ctx, "shop", "UPDATE shop.order_line SET pieces = "+before+" WHERE number = 100001 AND line = 1"); err != nil {
		return err
	}
	return d.pgmove(ctx, 0, validate...)
}

// servers starts source and target and fills the source.
func (d *demo) servers(ctx context.Context) (source, target *testbed.Postgres, err error) {
	started := time.Now()
	for _, p := range []**testbed.Postgres{&source, &target} {
		if *p, err = testbed.StartPostgres(ctx, testbed.PostgresOptions{}); err != nil {
			return nil, nil, err
		}
		d.ends = append(d.ends, (*p).Close)
		d.secrets = append(d.secrets, (*p).Password())
		if err := (*p).CreateDatabase(ctx, "shop", ""); err != nil {
			return nil, nil, err
		}
	}
	d.say("Two PostgreSQL %d servers run, on ports %d and %d of this machine (%.1f s)", source.Major(), source.Port(), target.Port(), time.Since(started).Seconds())
	started = time.Now()
	if err := source.Exec(ctx, "shop", shop); err != nil {
		return nil, nil, err
	}
	size, err := source.Value(ctx, "shop", "SELECT pg_size_pretty(pg_database_size('shop'))")
	if err != nil {
		return nil, nil, err
	}
	fmt.Fprintf(d.out, "The source holds a shop of %s (%.1f s).\n", size, time.Since(started).Seconds())
	return source, target, nil
}

// staging makes the store that the archive goes to; "" is the location of a direct run.
func (d *demo) staging(ctx context.Context, dir string) (location string, flags []string, err error) {
	switch d.via {
	case "dir":
		return "file://" + filepath.Join(dir, "archive"), nil, nil
	case "s3":
		s3, err := testbed.StartS3(ctx)
		if err != nil {
			return "", nil, err
		}
		d.ends = append(d.ends, s3.Close)
		d.env = s3.Env()
		d.secrets = append(d.secrets, s3.SecretKey())
		if err := s3.CreateBucket("demo"); err != nil {
			return "", nil, err
		}
		fmt.Fprintf(d.out, "An S3 server runs at %s; pgmove finds it by AWS's own variables.\n", s3.Endpoint())
		return "s3://demo/shop", []string{"--s3-path-style"}, nil
	}
	return "", nil, nil
}

// pgmove prints a command, runs it and wants the exit code. What it prints passes
// through, and no password is in it.
func (d *demo) pgmove(ctx context.Context, want int, args ...string) error {
	fmt.Fprintf(d.out, "$ %s\n", d.mask(shellLine(append([]string{d.program}, args...))))
	cmd := exec.CommandContext(ctx, d.program, args...)
	cmd.Env = append(os.Environ(), d.env...)
	var seen bytes.Buffer
	cmd.Stdout = io.MultiWriter(d.out, &seen)
	cmd.Stderr = os.Stderr // as it is: a terminal gets progress as text, all else JSON
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	for _, s := range d.secrets {
		if strings.Contains(seen.String(), s) {
			return errors.New("pgmove printed a password")
		}
	}
	if got := cmd.ProcessState.ExitCode(); got != want {
		return fmt.Errorf("pgmove %s ended with exit code %d, not %d", args[0], got, want)
	}
	return nil
}

// mask takes the secrets out of a line.
func (d *demo) mask(line string) string {
	for _, s := range d.secrets {
		line = strings.ReplaceAll(line, s, "****")
	}
	return line
}

// shellLine writes a command for people, an option with its value a line.
func shellLine(args []string) string {
	var b strings.Builder
	for i, a := range args {
		switch {
		case i == 0:
		case len(args) > 5 && strings.HasPrefix(a, "--"):
			b.WriteString(" \\\n    ")
		default:
			b.WriteByte(' ')
		}
		if strings.ContainsAny(a, "?&*$ ") {
			a = "'" + a + "'"
		}
		b.WriteString(a)
	}
	return b.String()
}
