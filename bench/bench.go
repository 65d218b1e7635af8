package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/pgmove/pgmove/bench/floor"
	"github.com/pgmove/pgmove/internal/testbed"
)

// targetDB is the database that every move goes to, made anew for each.
const targetDB = "bench_target"

// bucket holds the archives of the moves via S3.
const bucket = "bench"

// bench is one run of the program.
type bench struct {
	*options
	out, log io.Writer

	ends           []func() error // undo what was started, last first
	dir            string
	bin            string // PostgreSQL's clients
	source, target *testbed.Postgres
	s3             *testbed.S3
	env            []string
	versions       []string
}

// close ends all that run started.
func (b *bench) close() error {
	var errs []error
	for _, end := range slices.Backward(b.ends) {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

// say logs a line.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.log, time.Now().Format("15:04:05 ")+format+"\n", args...)
}

func (b *bench) run(ctx context.Context) error {
	if err := b.prepare(ctx); err != nil {
		return err
	}
	all, err := b.contestants(ctx)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.id == "s3" {
			if err := b.startS3(ctx); err != nil {
				return err
			}
			break
		}
	}
	var results []*result
	for _, w := range b.workloads() {
		r := &result{workload: w, runs: map[*contestant][]usage{}, order: all, out: map[*contestant]string{}}
		results = append(results, r)
		if err = b.measure(ctx, r); err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		return err
	}
	// After a failure too: what was measured until then may have taken an hour.
	text := b.report(ctx, results)
	fmt.Fprint(b.out, text.plain())
	if err == nil && b.md != "" {
		return writeFigures(b.md, text.markdown())
	}
	return err
}

// prepare makes the folder, the servers and the programs.
func (b *bench) prepare(ctx context.Context) (err error) {
	if b.major == 0 {
		b.major = testbed.DefaultMajor()
	}
	var ok bool
	if b.bin, ok = testbed.ClientBin(b.major); !ok {
		return fmt.Errorf("no pg_dump, pg_restore and psql of PostgreSQL %d: run `make tools`", b.major)
	}
	if b.dir, err = os.MkdirTemp("", "pgmove-bench-"); err != nil {
		return err
	}
	b.ends = append(b.ends, func() error { return os.RemoveAll(b.dir) })
	if len(b.pgmove) == 0 {
		own := filepath.Join(b.dir, "pgmove")
		if err := ownProgram(ctx, own); err != nil {
			return err
		}
		b.pgmove = []program{{argv: []string{own}}}
	}
	for i := range b.pgmove {
		p := &b.pgmove[i]
		if p.argv[0], err = filepath.Abs(p.argv[0]); err != nil {
			return err
		}
		if _, err := os.Stat(p.argv[0]); err != nil {
			return err
		}
		if len(b.pgmove) > 1 {
			p.label = fmt.Sprint(i + 1)
			b.versions = append(b.versions, fmt.Sprintf("[%s] is %s", p.label, strings.Join(append([]string{filepath.Base(p.argv[0])}, p.argv[1:]...), " ")))
		}
	}
	for _, p := range []**testbed.Postgres{&b.source, &b.target} {
		if *p, err = testbed.StartPostgres(ctx, testbed.PostgresOptions{Major: b.major, Settings: b.settings()}); err != nil {
			return err
		}
		b.ends = append(b.ends, (*p).Close)
	}
	version, err := b.source.Value(ctx, "postgres", "SHOW server_version")
	if err != nil {
		return err
	}
	b.versions = append(b.versions, "PostgreSQL "+version)
	return b.environment()
}

// settings are those of a server whose owner has done the first things and no more.
func (b *bench) settings() map[string]string {
	on := map[bool]string{true: "on", false: "off"}
	s := map[string]string{
		"shared_buffers":       "512MB",
		"max_wal_size":         "4GB",
		"maintenance_work_mem": "256MB",
		"fsync":                on[b.fsync],
		"full_page_writes":     "on",
		"synchronous_commit":   "on",
		"jit":                  "on",
		"wal_level":            b.walLevel,
	}
	if b.walLevel == "minimal" {
		s["max_wal_senders"] = "0"
	}
	// A dump locks all tables at a time; the default holds some 6,400 locks.
	if b.toc > 0 || slices.ContainsFunc(b.tables, func(n int) bool { return n > 4000 }) {
		s["max_locks_per_transaction"] = "1024"
	}
	return s
}

// environment is what the clients see: passwords by a file, so that no command line has one.
func (b *bench) environment() error {
	var lines strings.Builder
	for _, p := range []*testbed.Postgres{b.source, b.target} {
		fmt.Fprintf(&lines, "127.0.0.1:%d:*:*:%s\n", p.Port(), p.Password())
	}
	passfile := filepath.Join(b.dir, "pgpass")
	if err := os.WriteFile(passfile, []byte(lines.String()), 0o600); err != nil {
		return err
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PG") && !strings.HasPrefix(v, "AWS_") && !strings.HasPrefix(v, "PATH=") {
			b.env = append(b.env, v)
		}
	}
	b.env = append(b.env, "PGPASSFILE="+passfile, "LC_ALL=C.UTF-8", "PATH="+b.bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return nil
}

func (b *bench) startS3(ctx context.Context) (err error) {
	if b.s3, err = testbed.StartS3(ctx); err != nil {
		return err
	}
	b.ends = append(b.ends, b.s3.Close)
	b.env = append(b.env, b.s3.Env()...)
	return b.s3.CreateBucket(bucket)
}

// address is a database's URL without the password.
func address(p *testbed.Postgres, db string) (string, error) {
	u, err := url.Parse(p.URL(db))
	if err != nil {
		return "", err
	}
	u.User = url.User(u.User.Username())
	return u.String(), nil
}

// result is what was measured with one workload.
type result struct {
	workload *workload
	bytes    int64 // tables and TOAST, without indexes
	facts    string
	runs     map[*contestant][]usage
	order    []*contestant
	out      map[*contestant]string // those that left, and why
}

// measure has all contestants move a workload, round by round.
func (b *bench) measure(ctx context.Context, r *result) (err error) {
	w := r.workload
	b.say("%s: making the data", w.name)
	if err := b.fill(ctx, w); err != nil {
		return fmt.Errorf("make %s: %w", w.name, err)
	}
	defer func() { err = errors.Join(err, b.source.DropDatabase(context.WithoutCancel(ctx), w.db)) }()
	if r.bytes, r.facts, err = b.describe(ctx, w.db); err != nil {
		return err
	}
	b.say("%s: %s", w.name, r.facts)
	a, err := b.arena(ctx, w)
	if err != nil {
		return err
	}
	want, err := b.contents(ctx, b.source, w.db)
	if err != nil {
		return err
	}
	for round := range b.rounds {
		for i := range r.order {
			// Each round begins with another one: who runs first finds other caches.
			c := r.order[(i+round)%len(r.order)]
			if r.out[c] != "" {
				continue
			}
			u, err := b.once(ctx, c, a, want)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil && c.optional:
				r.out[c] = err.Error()
				b.say("%s: OUT OF THE CONTEST: %v", c.name, err)
			case err != nil:
				return fmt.Errorf("%s: %w", c.name, err)
			default:
				r.runs[c] = append(r.runs[c], u)
				b.say("round %d of %d: %-45s %8.2f s, client %7.2f s, %5d MiB", round+1, b.rounds, c.name,
					u.wall.Seconds(), u.cpu.Seconds(), u.rss>>20)
			}
		}
	}
	return nil
}

// arena prepares what all moves of a workload share.
func (b *bench) arena(ctx context.Context, w *workload) (a *arena, err error) {
	a = &arena{bin: b.bin, jobs: fmt.Sprint(b.jobs), dir: filepath.Join(b.dir, "run"), plan: filepath.Join(b.dir, "plan-"+w.db)}
	if a.source, err = address(b.source, w.db); err != nil {
		return nil, err
	}
	if a.target, err = address(b.target, targetDB); err != nil {
		return nil, err
	}
	p, err := floor.Prepare(ctx, b.bin, b.source.URL(w.db))
	if err != nil {
		return nil, fmt.Errorf("the floor's plan: %w", err)
	}
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	return a, os.WriteFile(a.plan, text, 0o600)
}

// once has one contestant move the source into a fresh database, compares that and drops it.
func (b *bench) once(ctx context.Context, c *contestant, a *arena, want *contents) (u usage, err error) {
	cleanly := context.WithoutCancel(ctx)
	if err := b.target.CreateDatabase(ctx, targetDB, "TEMPLATE template0"); err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, b.target.DropDatabase(cleanly, targetDB)) }()
	if err := os.Mkdir(a.dir, 0o700); err != nil {
		return u, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(a.dir)) }()
	if c.id == "s3" {
		prefix := filepath.Join(b.s3.BucketDir(bucket), "run")
		a.s3 = "s3://" + bucket + "/run"
		defer func() { err = errors.Join(err, os.RemoveAll(prefix)) }()
	}
	for _, p := range []*testbed.Postgres{b.source, b.target} {
		if err := p.Exec(ctx, "postgres", "CHECKPOINT"); err != nil {
			return u, err
		}
	}
	// The memory that this process has counts as its children's own until they have more.
	debug.FreeOSMemory()
	env := append(slices.Clone(b.env), "PGMOVE_SOURCE="+a.source, "PGMOVE_TARGET="+a.target)
	lines := c.lines(a)
	if b.verbose {
		for _, l := range lines {
			var parts []string
			for _, argv := range l {
				parts = append(parts, strings.Join(argv, " "))
			}
			b.say("$ %s", strings.Join(parts, " | "))
		}
	}
	if u, err = clients(ctx, a.dir, env, lines); err != nil {
		return u, err
	}
	return u, b.compare(ctx, want)
}
