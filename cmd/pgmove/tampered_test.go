package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/stream"
)

// ledgerPlan changes the plan in a target's ledger.
func ledgerPlan(t *testing.T, p *testbed.Postgres, db string, change func([]stream.Chunk) []stream.Chunk) {
	t.Helper()
	text, err := p.Value(t.Context(), db, "SELECT plan FROM pgmove.run")
	if err != nil {
		t.Fatal(err)
	}
	var plan []stream.Chunk
	b, err := hex.DecodeString(strings.TrimPrefix(text, `\x`))
	if err == nil {
		err = json.Unmarshal(b, &plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(change(plan)); err != nil {
		t.Fatal(err)
	}
	testbed.SQL(t, p, db, fmt.Sprintf(`UPDATE pgmove.run SET plan = '\x%x'`, b))
}

// ofOrders returns the chunks of the table orders, which is in several.
func ofOrders(plan []stream.Chunk) (of []*stream.Chunk) {
	most := map[stream.DumpID]int{}
	for _, c := range plan {
		most[c.Table] = c.Of
	}
	for i := range plan {
		if c := &plan[i]; c.Of > 2 && strings.HasPrefix(string(c.Range), "ctid") {
			if len(of) == 0 || of[0].Table == c.Table {
				of = append(of, c)
			}
		}
	}
	return of
}

// TestTamperedLedger: whoever writes to the ledger of a direct run that stopped, the resumed run ends in a refusal
// or with all rows, never in success without them; and runs no SQL from there on the source.
func TestTamperedLedger(t *testing.T) {
	t.Parallel()
	a, p := still(t), testbed.Shared(t, 0)
	src, stopped := testbed.Database(t, a), testbed.Database(t, p)
	testbed.SQL(t, a, src, much)
	run := func(dst string) []string {
		return []string{"run", "--source", a.URL(src), "--target", p.URL(dst), "--split-size", "200kB", "--jobs", "2"}
	}
	killed(t, "ledger.chunk:after:3", run(stopped)...)
	mark := filepath.Join(t.TempDir(), "mark")
	sql := func(s string) func(*testing.T, string) {
		return func(t *testing.T, db string) { t.Helper(); testbed.SQL(t, p, db, s) }
	}
	plan := func(change func([]stream.Chunk) []stream.Chunk) func(*testing.T, string) {
		return func(t *testing.T, db string) { t.Helper(); ledgerPlan(t, p, db, change) }
	}
	ranged := func(f func(stream.Text) stream.Text) func(*testing.T, string) {
		return plan(func(cs []stream.Chunk) []stream.Chunk {
			c := ofOrders(cs)[1]
			c.Range = f(c.Range)
			return cs
		})
	}
	// A row of the ledger for a chunk that was not loaded, in several guises.
	pretend := func(rows int, digest string) func(*testing.T, string) {
		return func(t *testing.T, db string) {
			t.Helper()
			ledgerPlan(t, p, db, func(cs []stream.Chunk) []stream.Chunk {
				for _, c := range ofOrders(cs) {
					testbed.SQL(t, p, db, fmt.Sprintf("INSERT INTO pgmove.taken (id, part, rows, digest) VALUES (%d, %d, %d, '%s') ON CONFLICT DO NOTHING", c.Table, c.N, rows, digest))
				}
				return cs
			})
		}
	}
	some := stream.Digest{Rows: 7, Sum: [2]uint64{1, 2}}.String()
	for _, c := range []struct {
		name  string
		do    func(*testing.T, string)
		codes []int
	}{
		{"a chunk that was not loaded, with no rows", pretend(0, stream.Digest{}.String()), []int{21}},
		{"a chunk that was not loaded, with some rows", pretend(7, some), []int{21}},
		{"a digest that is none", pretend(7, "nonsense"), []int{21}},
		{"all digests changed", sql("UPDATE pgmove.taken SET digest = '" + some + "' WHERE part >= 0"), []int{21}},
		{"a chunk that is none", sql("INSERT INTO pgmove.taken (id, part, rows, digest) VALUES (999999, 3, 1, '" + some + "')"), []int{0}},
		{"entries that were not applied", sql("INSERT INTO pgmove.taken (id, part) SELECT g, -1 FROM generate_series(1, 5000) g ON CONFLICT DO NOTHING"), []int{1, 30}},
		{"chunks forgotten", sql("DELETE FROM pgmove.taken WHERE part >= 0"), []int{1, 30}},
		{"rows deleted", sql("DELETE FROM public.orders"), []int{30}},
		{"another run's name", sql("UPDATE pgmove.run SET run = 'other'"), []int{21}},
		{"two runs", sql("INSERT INTO pgmove.run SELECT 'other', epoch, source_system, source_database, snapshot, tool, started, header, prints, plan FROM pgmove.run"), []int{21}},
		{"no run", sql("DELETE FROM pgmove.run"), []int{21}},
		{"header cut", sql("UPDATE pgmove.run SET header = substr(header, 1, 20)"), []int{21}},
		{"plan emptied", sql(`UPDATE pgmove.run SET plan = '\x5b5d'`), []int{21}},
		{"prints emptied", sql(`UPDATE pgmove.run SET prints = '\x5b5d'`), []int{21}},
		{"huge column", sql("UPDATE pgmove.run SET plan = decode(repeat('5b', 20000000), 'hex')"), []int{21}},
		{"no such column", sql("ALTER TABLE pgmove.taken DROP COLUMN digest"), []int{1, 21}},
		{"plan without a chunk", plan(func(cs []stream.Chunk) []stream.Chunk {
			of := ofOrders(cs)
			gone := of[1].Key
			for _, c := range of {
				c.Of--
				if c.N > of[1].N {
					c.N--
				}
			}
			for i := range cs {
				if cs[i].Key == gone {
					return append(cs[:i:i], cs[i+1:]...)
				}
			}
			return cs
		}), []int{21}},
		{"a smaller range", ranged(func(r stream.Text) stream.Text {
			return stream.Text(strings.Replace(string(r), "ctid >= '(", "ctid >= '(9", 1))
		}), []int{21}},
		{"no rows in a range", ranged(func(r stream.Text) stream.Text { return r + " AND false" }), []int{21}},
		{"a range of other syntax", ranged(func(stream.Text) stream.Text { return "pg_sleep(0) IS NULL" }), []int{21}},
		{"a range that ends the statement", ranged(func(stream.Text) stream.Text {
			return stream.Text("true) TO PROGRAM 'touch " + mark + "' --")
		}), []int{21}},
		{"a range of more statements", ranged(func(stream.Text) stream.Text {
			return stream.Text("true) TO STDOUT; COPY (SELECT 1) TO PROGRAM 'touch " + mark + "' --")
		}), []int{21}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dst := testbed.DatabaseWith(t, p, "TEMPLATE "+stopped)
			c.do(t, dst)
			code, out, errs := pgmove(t, append(run(dst), "--resume")...)
			ok := false
			for _, want := range c.codes {
				ok = ok || code == want
			}
			if !ok {
				t.Errorf("exit code %d, want one of %v\n%s%s", code, c.codes, out, errs)
			}
			if code == 0 {
				testbed.MustBeEqual(t, a, src, p, dst)
			}
			if strings.Contains(out, "digested again") {
				t.Error("the source was read again, and the ledger not believed anyway")
			}
			t.Logf("exit code %d: %.300s", code, errs)
			if _, err := os.Stat(mark); err == nil {
				t.Fatal("SQL from the ledger ran a program on the source")
			}
		})
	}
}

// forge changes an object under pgmove/ so that its own hash fits again, as who writes to the bucket can.
func forge(t *testing.T, dir, key string, change func(string) string) {
	t.Helper()
	b := string(files(t, dir)[key])
	head, body, ok := strings.Cut(strings.TrimSuffix(b, "}\n"), `"body":`)
	changed := change(body)
	if !ok || changed == body {
		t.Fatalf("%s was not changed", key)
	}
	before, after := sha256.Sum256([]byte(body)), sha256.Sum256([]byte(changed))
	put(t, dir, key, []byte(strings.Replace(head, hex.EncodeToString(before[:]), hex.EncodeToString(after[:]), 1)+`"body":`+changed+"}\n"))
}

// TestForgedRanges: SQL in an archive's plan, in a manifest or in a report is not run by who only goes on with it or
// compares with it.
func TestForgedRanges(t *testing.T) {
	t.Parallel()
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, much)
	mark := filepath.Join(t.TempDir(), "mark")
	evil := "true) TO PROGRAM 'touch " + mark + "' --"
	dir := t.TempDir() + "/archive"
	dump := []string{"dump", "--source", p.URL(src), "--to", dir, "--split-size", "200kB", "--resume"}
	killed(t, "archive.record:after:3", dump...)
	forge(t, dir, "pgmove/plan.json", func(s string) string {
		return regexp.MustCompile(`"ctid [^"]*"`).ReplaceAllString(s, `"`+evil+`"`)
	})
	wantText(t, mustExit(t, 21, dump...), "not in a form that pgmove writes")
	report := filepath.Join(t.TempDir(), "report.json")
	mustExit(t, 0, "run", "--source", p.URL(src), "--target", p.URL(dst), "--report", report)
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(b), `"name": "log",`, `"name": "log", "filter": "WHERE `+evil+`",`, 1)
	if forged == string(b) {
		t.Fatal("the report was not changed")
	}
	wantText(t, mustExit(t, 10, "validate", "--digests", secretFile(t, forged), "--target", p.URL(dst)), "SQL from a file is not run")
	sealed := t.TempDir() + "/sealed"
	mustExit(t, 0, "dump", "--source", p.URL(src), "--to", sealed)
	forge(t, sealed, "pgmove/manifest.json", func(s string) string {
		return strings.ReplaceAll(s, `"name":"log",`, `"name":"log","filter":"WHERE `+evil+`",`)
	})
	wantText(t, mustExit(t, 10, "validate", "--archive", sealed, "--target", p.URL(dst)), "SQL from a file is not run")
	if _, err := os.Stat(mark); err == nil {
		t.Fatal("SQL from a file ran a program")
	}
}
