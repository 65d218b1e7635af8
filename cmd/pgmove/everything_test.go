package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgmove/pgmove/internal/testbed"
)

const fixtures = "../../testdata/"

// prepareCluster makes the roles, the tablespace and the extension of the fixture.
func prepareCluster(t *testing.T, p *testbed.Postgres) (without []string) {
	t.Helper()
	space := filepath.Join(filepath.Dir(p.DataDir()), "space")
	if err := os.MkdirAll(space, 0o700); err != nil {
		t.Fatal(err)
	}
	// The server's user owns its data, and must own this.
	if st, err := os.Stat(p.DataDir()); err == nil {
		if s, ok := st.Sys().(*syscall.Stat_t); ok && os.Getuid() == 0 {
			if err := os.Chown(space, int(s.Uid), int(s.Gid)); err != nil {
				t.Fatal(err)
			}
		}
	}
	conn := connect(t, p.URL("postgres"))
	if _, err := testbed.LoadFixture(t.Context(), conn, fixtures+"everything-roles.sql",
		testbed.FixtureOptions{Major: p.Major(), Superuser: true, Replace: map[string]string{"@TABLESPACE_DIR@": space}}); err != nil {
		t.Fatal(err)
	}
	if !installed(t, p) {
		return []string{"pgmove_conf"}
	}
	return nil
}

// stale are the parts of the fixture that no dump carries over, by pg_dump's own rules: a
// materialized view is filled anew, and rows of an extension's tables are the user's only
// where the extension says so.
var stale = []string{`^matview "mv"."stale"$`, `"pgmove_conf"."(not_configuration|rules)"$`,
	// The server breaks this view's text elsewhere once it is restored.
	`FROM \( ?VALUES \(1,'it''s'`}

// database makes a database that goes with its cluster: one with subscriptions can't be dropped.
func database(t *testing.T, p *testbed.Postgres) string {
	t.Helper()
	name := fmt.Sprintf("every%d", databases.Add(1))
	if err := p.CreateDatabase(t.Context(), name, ""); err != nil {
		t.Fatal(err)
	}
	return name
}

var databases atomic.Int32

func connect(t *testing.T, url string) *pgconn.PgConn {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(t.Context()) })
	return c
}

func loadEverything(t *testing.T, p *testbed.Postgres, db string, o testbed.FixtureOptions) {
	t.Helper()
	c := connect(t, p.URL(db))
	loaded, err := testbed.LoadFixture(t.Context(), c, fixtures+"everything.sql", o)
	if err != nil {
		t.Fatal(err)
	}
	if len(loaded) < 50 {
		t.Fatalf("only %d blocks of the fixture were loaded", len(loaded))
	}
	_ = c.Close(t.Context())
}

// staged are the targets, by their names for messages, to which inStages was applied.
var staged sync.Map

// inStages has entries applied in stages to a database, however small its tables are.
func inStages(t *testing.T, p *testbed.Postgres, db string) {
	t.Helper()
	asked := new(atomic.Bool)
	staged.Store(p.Addr()+"/"+db, asked)
	t.Cleanup(func() {
		if !asked.Load() {
			t.Errorf("nothing was applied in stages to %s", db)
		}
	})
}

// TestEverything moves the fixture of all traps: directly, and through archives in many chunks.
func TestEverything(t *testing.T) {
	t.Parallel()
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{Settings: map[string]string{"max_locks_per_transaction": "256"}})
	without := prepareCluster(t, p)
	src := database(t, p)
	loadEverything(t, p, src, testbed.FixtureOptions{Superuser: true, Without: without})
	for _, c := range []struct {
		name   string
		stages bool
		args   []string
	}{
		{"direct", false, nil},
		{"direct in chunks", true, []string{"--split-size", "16kB", "--jobs", "4"}},
		{"directory in chunks", true, []string{"--split-size", "64kB", "--via", "file://" + t.TempDir() + "/a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := database(t, p)
			if c.stages {
				inStages(t, p, dst)
			}
			mustExit(t, 0, append([]string{"run", "--source", p.URL(src), "--target", p.URL(dst)}, c.args...)...)
			testbed.MustBeEqual(t, p, src, p, dst, stale...)
		})
	}
}

// TestEverythingStock has the pg_restore of each version restore our archives of all that it can
// restore at all, split into many chunks, each to a server of its own version.
func TestEverythingStock(t *testing.T) {
	t.Parallel()
	servers := map[int]*testbed.Postgres{}
	without := map[string]bool{}
	for _, major := range []int{testbed.DefaultMajor(), 17, 18} {
		if _, ok := testbed.ServerBin(major); !ok || servers[major] != nil {
			continue
		}
		servers[major] = testbed.OwnPostgres(t, testbed.PostgresOptions{Major: major, Settings: map[string]string{"max_locks_per_transaction": "256"}})
		for _, w := range prepareCluster(t, servers[major]) {
			without[w] = true
		}
	}
	tried := 0
	for _, c := range []struct {
		from    int
		z       string
		format  string
		readers []int
	}{
		{testbed.DefaultMajor(), "gzip", "text", []int{testbed.DefaultMajor(), 17, 18}},
		{testbed.DefaultMajor(), "gzip", "binary", []int{testbed.DefaultMajor(), 17, 18}},
		{testbed.DefaultMajor(), "zstd", "auto", []int{17, 18}}, // pg_restore reads zstd from 16 on
		{17, "zstd", "auto", []int{17, 18}},
		{18, "none", "binary", []int{18}},
	} {
		p := servers[c.from]
		if p == nil {
			t.Logf("no server of version %d is installed here", c.from)
			continue
		}
		o := testbed.FixtureOptions{Superuser: true, WithoutStockFailures: true, Without: slices.Collect(maps.Keys(without))}
		if slices.Max(c.readers) >= 17 && c.from < 17 {
			o.Without = append(o.Without, "needs_search_path_in_maintenance") // see TestAcrossVersions
		}
		src := database(t, p)
		loadEverything(t, p, src, o)
		dir := t.TempDir() + "/a"
		mustExit(t, 0, "dump", "--source", p.URL(src), "--to", dir, "--split-size", "16kB", "--compress", c.z, "--format", c.format, "--pg-bin", clients())
		for _, reader := range c.readers {
			q := servers[reader]
			bin, ok := testbed.ClientBin(reader)
			if !ok || q == nil {
				t.Logf("no pg_restore, or no server, of version %d is installed here", reader)
				continue
			}
			tried++
			t.Run(fmt.Sprintf("archive of %d, %s, %s, by pg_restore %d", c.from, c.z, c.format, reader), func(t *testing.T) {
				dst := database(t, q)
				cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_restore"), "-j2", "--exit-on-error", "-d", q.URL(dst), dir)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("pg_restore: %v\n%.4000s", err, out)
				}
				// pg_restore leaves the database's own properties to --create.
				testbed.MustBeEqual(t, p, src, q, dst, append(stale, "DATABASE", `^SET `, "bytea", "VALUES", "set_config", `^newline`)...)
			})
		}
	}
	if tried < 3 {
		t.Fatalf("only %d pairs of archive and pg_restore were tried: make tools", tried)
	}
}

// TestEverythingNonSuperuser moves all that needs no superuser, as the databases' owner.
func TestEverythingNonSuperuser(t *testing.T) {
	t.Parallel()
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{Settings: map[string]string{"max_locks_per_transaction": "256"}})
	prepareCluster(t, p)
	const password = "owner's:p@ss/word"
	testbed.SQL(t, p, "postgres", "ALTER ROLE pgmove_test_owner LOGIN PASSWORD 'owner''s:p@ss/word'")
	src, dst := database(t, p), testbed.Database(t, p)
	for _, db := range []string{src, dst} {
		testbed.SQL(t, p, "postgres", fmt.Sprintf("ALTER DATABASE %s OWNER TO pgmove_test_owner", db))
		testbed.SQL(t, p, db, "ALTER SCHEMA public OWNER TO pgmove_test_owner")
	}
	u := func(db string) string { return p.URLAs("pgmove_test_owner", password, db) }
	c := connect(t, u(src))
	if _, err := testbed.LoadFixture(t.Context(), c, fixtures+"everything.sql", testbed.FixtureOptions{
		// A forced policy hides rows from their owner too: TestRefusals.
		Without: []string{"row_security", "acls"}}); err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
	testbed.SQL(t, p, src, "DROP TABLE IF EXISTS alice.own_revoked") // nor may it read this one
	wantText(t, mustExit(t, 12, "run", "--source", u(src), "--target", u(dst)), "large object 103")
	untouched(t, p, dst)
	testbed.SQL(t, p, src, "SELECT lo_unlink(103)")
	out := mustExit(t, 0, "run", "--source", u(src), "--target", u(dst), "--split-size", "64kB")
	if strings.Contains(out, "p@ss") {
		t.Error("the output shows the password")
	}
	testbed.MustBeEqual(t, p, src, p, dst, stale...)
}

// TestUnmovable moves what can't be moved as it is: it must never end in success without a word.
func TestUnmovable(t *testing.T) {
	t.Parallel()
	p, other := testbed.OwnPostgres(t, testbed.PostgresOptions{}), testbed.OwnPostgres(t, testbed.PostgresOptions{})
	prepareCluster(t, p)
	prepareCluster(t, other)
	blocks, err := testbed.ReadFixture(fixtures + "unmovable.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if b.Until != 0 {
			continue // movable, to a server of the same version
		}
		t.Run(b.Name, func(t *testing.T) {
			src, dst := database(t, p), database(t, other)
			c := connect(t, p.URL(src))
			if _, err := testbed.LoadFixture(t.Context(), c, fixtures+"unmovable.sql", testbed.FixtureOptions{Superuser: true, Only: []string{b.Name}}); err != nil {
				t.Fatal(err)
			}
			_ = c.Close(t.Context())
			code, out, errs := pgmove(t, "run", "--source", p.URL(src), "--target", other.URL(dst))
			t.Logf("exit code %d\n%s", code, errs)
			if code == 0 && !strings.Contains(out, "unverified: public.") {
				// Rows that name an index do move where the index was there when they came again.
				testbed.MustBeEqual(t, p, src, other, dst)
				if t.Failed() {
					t.Logf("%s", out)
				}
			}
		})
	}
}
