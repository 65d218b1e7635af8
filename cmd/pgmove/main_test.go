package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

func TestMain(m *testing.M) {
	patience = time.Second
	retry = stream.Retry{Tries: 6, First: 50 * time.Millisecond, Most: 500 * time.Millisecond}
	standStill = 3 * time.Second
	stageFrom = func(c conn) int64 {
		if asked, ok := staged.Load(c.Name()); ok {
			asked.(*atomic.Bool).Store(true)
			return 1
		}
		return 0
	}
	begun = func(c *cli.Context) {
		if parsed, ok := calls.Load(c.App.Writer); ok {
			parsed.(func())()
		}
	}
	code := testbed.Wrap(m).Run()
	_ = os.RemoveAll(binaryDir)
	os.Exit(code)
}

// parsing is held while a call of pgmove reads its arguments; calls are those that go on, by what they write to.
var (
	parsing sync.Mutex
	calls   sync.Map
)

// pgmove runs the command as a user would, in this process.
func pgmove(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	parsing.Lock()
	parsed := sync.OnceFunc(parsing.Unlock)
	defer parsed()
	calls.Store(&out, parsed)
	defer calls.Delete(&out)
	code = Main(append([]string{"pgmove"}, args...), &out, &errs)
	return code, out.String(), errs.String()
}

// mustExit runs pgmove and fails the test unless it exits with the code; it returns all it printed.
func mustExit(t *testing.T, want int, args ...string) string {
	t.Helper()
	code, out, errs := pgmove(t, args...)
	if code != want {
		t.Fatalf("pgmove %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, out, errs)
	}
	return out + errs
}

func wantText(t *testing.T, got string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(got, w) {
			t.Errorf("the output lacks %q:\n%s", w, got)
		}
	}
}

// shop is a small database with some of everything that most have.
const shop = `
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL UNIQUE, mood mood, balance numeric(12,2) DEFAULT 0 CHECK (balance > -1000));
CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int NOT NULL REFERENCES customer, at timestamptz NOT NULL, note text);
CREATE INDEX orders_by_customer ON orders (customer, at);
CREATE TABLE log (at timestamptz, line text);
INSERT INTO customer (name, mood, balance) SELECT 'customer ' || g, (ARRAY['sad','ok','happy'])[1 + g % 3]::mood, g FROM generate_series(1, 2000) g;
INSERT INTO orders (customer, at, note) SELECT 1 + g % 2000, timestamptz '2026-01-01 00:00:00+00' + g * interval '1 minute', repeat('n', g % 200) FROM generate_series(1, 20000) g;
INSERT INTO log SELECT NULL, 'twice' FROM generate_series(1, 500);
CREATE VIEW happy AS SELECT * FROM customer WHERE mood = 'happy';
CREATE MATERIALIZED VIEW per_customer AS SELECT customer, count(*) AS n FROM orders GROUP BY 1;
CREATE UNIQUE INDEX ON per_customer (customer);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := coalesce(NEW.note, ''); RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION touch();
COMMENT ON TABLE orders IS 'what they bought';
`

// servers returns source and target, two databases of one shared cluster; shared is the
// source's content.
func shopDatabases(t *testing.T) (p *testbed.Postgres, source, target string) {
	t.Helper()
	p = testbed.Shared(t, 0)
	source, target = testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, source, shop)
	return p, source, target
}

func TestRunDirect(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	report := filepath.Join(t.TempDir(), "report.json")
	out := mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--report", report)
	wantText(t, out, "public.orders", "20000", "equal", "schema entries compared")
	testbed.MustBeEqual(t, p, src, p, dst)
	if rows, err := p.Query(t.Context(), dst, "SELECT 1 FROM pg_namespace WHERE nspname = 'pgmove'"); err != nil || len(rows) > 0 {
		t.Errorf("the ledger is still there: %v %v", rows, err)
	}
	// Every table was analyzed.
	if n, err := p.Value(t.Context(), dst, "SELECT count(*) FROM pg_class WHERE relname IN ('orders', 'customer', 'log') AND reltuples > 0"); err != nil || n != "3" {
		t.Errorf("%s tables of 3 were analyzed (%v)", n, err)
	}
	var r struct {
		ExitCode int    `json:"exit_code"`
		Rows     int64  `json:"rows"`
		Run      string `json:"run"`
	}
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &r); err != nil || r.ExitCode != 0 || r.Rows != 22500 || r.Run == "" {
		t.Errorf("the report: %v %+v", err, r)
	}
	// The morning after.
	mustExit(t, 0, "validate", "--digests", report, "--target", p.URL(dst))
	mustExit(t, 0, "validate", "--source", p.URL(src), "--target", p.URL(dst))
	testbed.SQL(t, p, src, "UPDATE customer SET balance = 7 WHERE id = 70")
	mustExit(t, 0, "validate", "--digests", report, "--target", p.URL(dst)) // the snapshot counts, not the source as it is now
	wantText(t, mustExit(t, 30, "validate", "--source", p.URL(src), "--target", p.URL(dst)), "public.customer")
}

// TestRunVia moves through a directory and through S3, with each compression, in many chunks, and
// has stock pg_restore restore what remains there.
func TestRunVia(t *testing.T) {
	t.Parallel()
	bin, ok := testbed.ClientBin(testbed.DefaultMajor())
	if !ok {
		t.Fatal("no pg_restore")
	}
	s3 := shareS3(t)
	for _, c := range []struct {
		compress string
		s3       bool
	}{{"none", false}, {"gzip", false}, {"zstd", false}, {"gzip", true}, {"zstd", true}} {
		name := c.compress
		if c.s3 {
			name += " S3"
		}
		t.Run(name, func(t *testing.T) {
			p, src, dst := shopDatabases(t)
			testbed.SQL(t, p, src, "SELECT lo_from_bytea(4711, convert_to(repeat('large ', 100000), 'UTF8')); SELECT lo_from_bytea(4712, '')")
			dir := t.TempDir()
			via := "file://" + dir + "/archive"
			args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst), "--split-size", "100kB", "--compress", c.compress}
			if c.s3 {
				via = "s3://" + testbed.Bucket(t, s3) + "/some/prefix"
				args = append(args, "--s3-path-style")
			}
			mustExit(t, 0, append(args, "--via", via)...)
			testbed.MustBeEqual(t, p, src, p, dst)
			again := testbed.Database(t, p)
			restore := []string{"restore", "--from", via, "--target", p.URL(again)}
			if c.s3 {
				restore = append(restore, "--s3-path-style")
			}
			mustExit(t, 0, restore...)
			testbed.MustBeEqual(t, p, src, p, again)
			if c.s3 {
				return
			}
			wantText(t, mustExit(t, 0, "inspect", dir+"/archive"), "public.orders", c.compress)
			wantText(t, mustExit(t, 10, append(args, "--no-check", "--via", via)...), "holds an archive")
			if c.compress == "zstd" && testbed.DefaultMajor() < 16 {
				return // pg_restore reads it from 16 on: TestStockRestore
			}
			stock := testbed.Database(t, p)
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "pg_restore"), "-j2", "--exit-on-error", "-d", p.URL(stock), dir+"/archive")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("pg_restore: %v\n%s", err, out)
			}
			testbed.MustBeEqual(t, p, src, p, stock)
		})
	}
}

// TestValidateFindsOneChange makes one change at a time on a target that was equal.
func TestValidateFindsOneChange(t *testing.T) {
	t.Parallel()
	p, src, dst := shopDatabases(t)
	report := filepath.Join(t.TempDir(), "report.json")
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--report", report)
	for _, c := range []struct{ name, change, undo, want string }{
		{"value", "UPDATE orders SET note = note || '!' WHERE id = 777", "UPDATE orders SET note = rtrim(note, '!') WHERE id = 777", "public.orders"},
		{"lost row", "DELETE FROM log WHERE ctid = '(0,1)'", "INSERT INTO log VALUES (NULL, 'twice')", "public.log has 499 rows"},
		{"doubled row", "INSERT INTO log VALUES (NULL, 'twice')", "DELETE FROM log WHERE ctid = (SELECT max(ctid) FROM log)", "public.log has 501 rows"},
		{"swapped rows", "UPDATE customer SET balance = CASE id WHEN 5 THEN 6 ELSE 5 END WHERE id IN (5, 6)", "UPDATE customer SET balance = id WHERE id IN (5, 6)", "public.customer"},
		{"sequence", "SELECT setval('customer_id_seq', 1999)", "SELECT setval('customer_id_seq', 2000)", "public.customer_id_seq"},
		{"index", "DROP INDEX orders_by_customer", "CREATE INDEX orders_by_customer ON orders (customer, at)", "INDEX public.orders_by_customer is missing"},
		{"trigger", "ALTER TABLE orders DISABLE TRIGGER touch", "ALTER TABLE orders ENABLE TRIGGER touch", "TRIGGER public.orders touch"},
		{"extra table", "CREATE TABLE intruder ()", "DROP TABLE intruder", "TABLE public.intruder is on the target"},
	} {
		t.Run(c.name, func(t *testing.T) {
			testbed.SQL(t, p, dst, c.change)
			wantText(t, mustExit(t, 30, "validate", "--digests", report, "--target", p.URL(dst)), c.want)
			testbed.SQL(t, p, dst, c.undo)
			mustExit(t, 0, "validate", "--digests", report, "--target", p.URL(dst))
		})
	}
}
