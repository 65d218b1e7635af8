package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/filestore"
)

// useS3 points the AWS variables at the server.
func useS3(t *testing.T, s3 *testbed.S3) {
	t.Helper()
	for _, kv := range s3.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
}

// shareS3 sets it for this process, for tests that run at the same time. They begin when all others have ended, and
// there is but one server.
func shareS3(t *testing.T) *testbed.S3 {
	t.Helper()
	s3 := testbed.SharedS3(t)
	for _, kv := range s3.Env() {
		k, v, _ := strings.Cut(kv, "=")
		if err := os.Setenv(k, v); err != nil { //nolint:usetesting // t.Setenv refuses parallel tests
			t.Fatal(err)
		}
	}
	return s3
}

// binary is pgmove compiled, for tests that kill it.
var binary = sync.OnceValues(func() (_ string, err error) {
	if binaryDir, err = os.MkdirTemp("", "pgmove-test-"); err != nil {
		return "", err
	}
	file := filepath.Join(binaryDir, "pgmove")
	out, err := exec.Command("go", "build", "-o", file, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return file, nil
})

var binaryDir string

// result is how a pgmove that runs beside the test ended.
type result struct {
	code        int
	out, errors string
}

// beside runs pgmove, in a process of its own, while the test goes on.
func beside(t *testing.T, args ...string) <-chan result {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan result, 1)
	go func() {
		var out, errs bytes.Buffer
		cmd := exec.CommandContext(t.Context(), file, args...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		_ = cmd.Run() // how it ended stands in its exit code
		done <- result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
	}()
	return done
}

// TestTwoSides: dump and restore share a location alone, and are started in either order.
func TestTwoSides(t *testing.T) {
	t.Parallel()
	s3 := shareS3(t)
	p, src, _ := shopDatabases(t)
	for _, c := range []struct {
		name         string
		s3           bool
		restoreFirst bool
	}{{"directory, restore first", false, true}, {"directory, dump first", false, false}, {"S3, restore first", true, true}, {"S3, dump first", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			dst := testbed.Database(t, p)
			at := t.TempDir() + "/archive"
			if c.s3 {
				at = "s3://" + testbed.Bucket(t, s3) + "/p"
			}
			dump := []string{"dump", "--source", p.URL(src), "--to", at, "--split-size", "100kB", "--s3-path-style"}
			restore := []string{"restore", "--from", at, "--target", p.URL(dst), "--wait", "--s3-path-style"}
			first, second := dump, restore
			if c.restoreFirst {
				first, second = restore, dump
			}
			done := beside(t, first...)
			time.Sleep(700 * time.Millisecond)
			mustExit(t, 0, second...)
			if r := <-done; r.code != 0 {
				t.Fatalf("exit code %d\n%s%s", r.code, r.out, r.errors)
			}
			testbed.MustBeEqual(t, p, src, p, dst)
			mustExit(t, 0, "verify", "--s3-path-style", at)
			// Once it is sealed, waiting is not waiting.
			again := testbed.Database(t, p)
			mustExit(t, 0, "restore", "--from", at, "--target", p.URL(again), "--wait", "--s3-path-style")
		})
	}
}

// replayed is a dump that is slow, or ends as the test wants it to.
type replayed struct {
	from, to string
	pause    time.Duration
	// stop, where it isn't nil, is called after each chunk; its error ends the dump.
	stop func(chunks int) error
	mute bool // the failure is not told, as by a killed dump
}

// run writes the archive at from once more, to another place.
func (d replayed) run(ctx context.Context) error {
	store, err := filestore.Open(d.from, false)
	if err != nil {
		return err
	}
	r, err := stream.OpenSealed(ctx, store, d.from, nil)
	if err != nil {
		return err
	}
	h, err := r.Header(ctx)
	if err != nil {
		return err
	}
	entries, err := r.Entries(ctx)
	if err != nil {
		return err
	}
	plan, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	out, err := filestore.Open(d.to, true)
	if err != nil {
		return err
	}
	w := stream.NewWriter(out, false, h.Compression)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ctx, err = w.Claim(ctx, h.Run)
	if err != nil {
		return err
	}
	err = func() error {
		if _, err := w.Begin(ctx, *h, entries, plan); err != nil {
			return err
		}
		for i, c := range plan {
			time.Sleep(d.pause)
			cr, err := r.OpenChunk(ctx, c)
			if err != nil {
				return err
			}
			if _, err := w.WriteChunk(ctx, c, func(w io.Writer) error { _, err := io.Copy(w, cr); return err }); err != nil {
				return err
			}
			if d.stop != nil {
				if err := d.stop(i + 1); err != nil {
					return err
				}
			}
		}
		var index []stream.NamedObject
		for _, o := range r.Manifest().Objects {
			if !strings.HasPrefix(o.Key, "pgmove/") {
				b, err := os.ReadFile(filepath.Join(d.from, o.Key))
				if err != nil {
					return err
				}
				index = append(index, stream.NamedObject{Key: o.Key, Data: b})
			}
		}
		return w.Seal(ctx, index, &r.Manifest().Contents)
	}()
	if !d.mute {
		w.Fail(ctx, err)
	}
	return err
}

// TestRestoreFollows: rows and indexes come to the target while the dump still runs, and what ends
// the dump ends the restore, with the exit code that says what to do.
func TestRestoreFollows(t *testing.T) {
	t.Parallel()
	p, src, _ := shopDatabases(t)
	from := t.TempDir() + "/archive"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", from, "--split-size", "100kB", "--compress", "gzip")
	waiting := func(to string, flags ...string) (string, <-chan result) {
		dst := testbed.Database(t, p)
		return dst, beside(t, append([]string{"restore", "--from", to, "--target", p.URL(dst), "--wait"}, flags...)...)
	}
	finish := func(done <-chan result, code int, words ...string) {
		t.Helper()
		r := <-done
		if r.code != code {
			t.Errorf("exit code %d instead of %d\n%s%s", r.code, code, r.out, r.errors)
		}
		wantText(t, r.out+r.errors, words...)
	}

	t.Run("while it runs", func(t *testing.T) {
		to := t.TempDir() + "/archive"
		dst, done := waiting(to)
		begun := false
		d := replayed{from: from, to: to, pause: 200 * time.Millisecond, stop: func(n int) error {
			// The dump goes on only when the first chunk has been loaded.
			for deadline := time.Now().Add(30 * time.Second); n == 3 && !begun && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				got, err := p.Value(t.Context(), dst, "SELECT count(*) FROM pgmove.taken WHERE part >= 0")
				begun = err == nil && got != "0"
			}
			return nil
		}}
		if err := d.run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !begun {
			t.Error("no chunk was loaded while the dump ran")
		}
		finish(done, 0, "equal")
		testbed.MustBeEqual(t, p, src, p, dst)
	})
	t.Run("a dump that fails", func(t *testing.T) {
		to := t.TempDir() + "/archive"
		_, done := waiting(to)
		d := replayed{from: from, to: to, stop: func(n int) error {
			if n == 4 {
				return errors.New("the source went away")
			}
			return nil
		}}
		if err := d.run(t.Context()); err == nil {
			t.Error("the dump did not fail")
		}
		finish(done, 21, "the source went away", "empty")
		wantText(t, mustExit(t, 31, "restore", "--from", to, "--target", p.URL(testbed.Database(t, p))), "not finished")
	})
	t.Run("a dump that is killed", func(t *testing.T) {
		to := t.TempDir() + "/archive"
		_, done := waiting(to, "--wait-silence", "2s")
		d := replayed{from: from, to: to, mute: true, stop: func(n int) error {
			if n == 4 {
				return errors.New("killed")
			}
			return nil
		}}
		if err := d.run(t.Context()); err == nil {
			t.Error("the dump did not fail")
		}
		finish(done, 20, "silent")
	})
	t.Run("no dump at all", func(t *testing.T) {
		dst := testbed.Database(t, p)
		wantText(t, mustExit(t, 20, "restore", "--from", t.TempDir(), "--target", p.URL(dst), "--wait", "--wait-timeout", "1s"), "no dump has begun")
		untouched(t, p, dst)
		testbed.SQL(t, p, dst, "CREATE TABLE here (a int)")
		wantText(t, mustExit(t, 10, "restore", "--from", t.TempDir(), "--target", p.URL(dst), "--wait"), "public.here")
	})
}

// TestKilledUploads kills dumps to S3 at random moments; the next one to the same place removes what they left.
func TestKilledUploads(t *testing.T) {
	t.Parallel()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	s3 := shareS3(t)
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	// A chunk that fills several parts, of bytes that don't compress.
	testbed.SQL(t, p, src, "CREATE TABLE big AS SELECT (SELECT string_agg(sha512((g * 1000 + i)::text::bytea), '') FROM generate_series(1, 250) i) AS b FROM generate_series(1, 2500) g")
	bucket := testbed.Bucket(t, s3)
	args := []string{"dump", "--source", p.URL(src), "--to", "s3://" + bucket + "/killed", "--s3-path-style", "--memory", "64MiB"}
	orphans := func(since time.Time) int {
		n := 0
		_ = filepath.WalkDir(filepath.Join(s3.BucketDir(bucket), ".sgwtmp", "multipart"), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return nil // gone meanwhile
			}
			if info, err := d.Info(); err == nil && info.ModTime().After(since) {
				n++
			}
			return nil
		})
		return n
	}
	seen, kills := 0, 4
	if os.Getenv("PGMOVE_KILLS") != "" {
		_, _ = fmt.Sscan(os.Getenv("PGMOVE_KILLS"), &kills)
	}
	for i := range kills {
		cmd := exec.CommandContext(t.Context(), file, args...)
		start := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// At the moment when parts of its own are on their way, and a little later each time.
		for deadline := start.Add(20 * time.Second); orphans(start) == 0 && time.Now().Before(deadline); {
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(time.Duration(i%10) * 7 * time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
		seen += min(orphans(start), 1)
		if err := os.RemoveAll(filepath.Join(s3.BucketDir(bucket), "killed")); err != nil {
			t.Fatal(err)
		}
	}
	if seen == 0 {
		t.Error("no kill left an incomplete upload behind: the test proves nothing")
	}
	mustExit(t, 0, args...)
	if n := orphans(time.Time{}); n > 0 {
		t.Errorf("%d parts of incomplete uploads are left", n)
	}
	t.Logf("%d kills, %d of which left uploads behind; none is left after the next run", kills, seen)
}
