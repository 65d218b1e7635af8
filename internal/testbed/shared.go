package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// OwnPostgres starts a cluster for one test and closes it with the test. Where it
// can't be started the test fails. Most tests need but a database of their own:
// Shared and Database are faster.
func OwnPostgres(tb testing.TB, opts PostgresOptions) *Postgres {
	tb.Helper()
	p, err := StartPostgres(tb.Context(), opts)
	if err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	tb.Cleanup(func() {
		log := p.Log()
		if err := p.Close(); err != nil {
			tb.Errorf("testbed: %v", err)
		}
		if tb.Failed() {
			tb.Logf("the last lines that PostgreSQL %d logged:\n%s", p.Major(), tail(log))
		}
	})
	return p
}

// OwnS3 starts an S3 server for one test and closes it with the test.
func OwnS3(tb testing.TB) *S3 {
	tb.Helper()
	s, err := StartS3(tb.Context())
	if err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("testbed: %v", err)
		}
	})
	return s
}

// shared are the servers that the tests of one binary share.
var shared = struct {
	sync.Mutex
	owned    bool // Main or Wrap sees to their end
	clusters map[int]*lazy[*Postgres]
	maria    map[int]*lazy[*MariaDB]
	s3       *lazy[*S3]
	counter  int
}{clusters: make(map[int]*lazy[*Postgres]), maria: make(map[int]*lazy[*MariaDB])}

// lazy is a server started at its first use. Its own lock, not that of all, is held
// while it starts.
type lazy[T any] struct {
	once   sync.Once
	server T
	err    error
}

// get starts the server unless that was done.
func (s *lazy[T]) get(start func(context.Context) (T, error)) (T, error) {
	// Not the test's context: the server outlives the test that comes first.
	s.once.Do(func() { s.server, s.err = start(context.Background()) })
	return s.server, s.err
}

// Shared returns the cluster of the major version (0: DefaultMajor) that the tests of this
// package share, starting it at its first use. Tests must leave it as it was: they make
// databases with Database, and roles under names of their own. The package needs a TestMain
// that calls Main or Wrap.
func Shared(tb testing.TB, major int) *Postgres {
	tb.Helper()
	if major == 0 {
		major = DefaultMajor()
	}
	needOwner(tb)
	shared.Lock()
	if shared.clusters[major] == nil {
		shared.clusters[major] = &lazy[*Postgres]{}
	}
	s := shared.clusters[major]
	shared.Unlock()
	p, err := s.get(func(ctx context.Context) (*Postgres, error) {
		return StartPostgres(ctx, PostgresOptions{Major: major})
	})
	if err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	return p
}

// SharedS3 returns the S3 server that the tests of this package share, starting it
// at its first use. Bucket makes a bucket on it.
func SharedS3(tb testing.TB) *S3 {
	tb.Helper()
	needOwner(tb)
	shared.Lock()
	if shared.s3 == nil {
		shared.s3 = &lazy[*S3]{}
	}
	first := shared.s3
	shared.Unlock()
	s, err := first.get(StartS3)
	if err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	return s
}

func needOwner(tb testing.TB) {
	tb.Helper()
	shared.Lock()
	defer shared.Unlock()
	if !shared.owned {
		tb.Fatal("testbed: nobody would stop the shared servers: add to this package's tests\n" +
			"\tfunc TestMain(m *testing.M) { testbed.Main(m) }")
	}
}

// unique returns a name that no test used before, and that says whose it is.
func unique(tb testing.TB, separator string) string {
	shared.Lock()
	defer shared.Unlock()
	shared.counter++
	clean := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return -1
	}
	name := strings.Map(clean, tb.Name())
	return fmt.Sprintf("t%d%s%.40s", shared.counter, separator, name)
}

// Database makes an empty database on the cluster and returns its name. It is dropped
// with the test.
func Database(tb testing.TB, p *Postgres) string {
	tb.Helper()
	return DatabaseWith(tb, p, "")
}

// DatabaseWith is Database with options to CREATE DATABASE; see CreateDatabase.
func DatabaseWith(tb testing.TB, p *Postgres, options string) string {
	tb.Helper()
	name := unique(tb, "_")
	if err := p.CreateDatabase(tb.Context(), name, options); err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	tb.Cleanup(func() {
		if p.proc == nil || p.proc.alive() != nil {
			return // the test ended the cluster, and the database with it
		}
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := p.DropDatabase(ctx, name); err != nil {
			tb.Errorf("testbed: %v", err)
		}
	})
	return name
}

// Bucket makes an empty bucket on the server and returns its name. It goes with the
// server: no other test uses it.
func Bucket(tb testing.TB, s *S3) string {
	tb.Helper()
	name := unique(tb, "-") + "-bucket"
	if err := s.CreateBucket(name); err != nil {
		tb.Fatalf("testbed: %v", err)
	}
	return name
}

// SQL runs SQL on a database of the cluster and fails the test where that fails.
func SQL(tb testing.TB, p *Postgres, db, sql string) {
	tb.Helper()
	if err := p.Exec(tb.Context(), db, sql); err != nil {
		tb.Fatal(err)
	}
}

// Main is a package's TestMain: it runs the tests, stops the shared servers and exits.
func Main(m *testing.M) { os.Exit(Wrap(m).Run()) }

// Runner runs tests and says with what code to exit; a *testing.M is one.
type Runner interface{ Run() int }

// Wrap returns a Runner that runs m and then stops the shared servers, for a TestMain
// that does more: goleak.VerifyTestMain(testbed.Wrap(m)).
//
// Each server that runs has one goroutine, waiting for its end in a function whose
// name is "github.com/pgmove/pgmove/internal/testbed.(*process).run".
func Wrap(m Runner) Runner { return runner{m} }

type runner struct{ m Runner }

// Run runs the tests and stops the shared servers.
func (r runner) Run() int {
	shared.Lock()
	shared.owned = true
	shared.Unlock()
	code := r.m.Run()
	if err := closeShared(); err != nil {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		code = max(code, 1)
	}
	return code
}

// closeShared ends the shared servers.
func closeShared() error {
	shared.Lock()
	defer shared.Unlock()
	var errs []error
	for major, s := range shared.clusters {
		if s.server != nil {
			errs = append(errs, s.server.Close())
		}
		delete(shared.clusters, major)
	}
	for which, s := range shared.maria {
		if s.server != nil {
			errs = append(errs, s.server.Close())
		}
		delete(shared.maria, which)
	}
	if shared.s3 != nil && shared.s3.server != nil {
		errs = append(errs, shared.s3.server.Close())
	}
	shared.s3 = nil
	return errors.Join(errs...)
}
