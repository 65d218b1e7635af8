package main

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// tiny is a database of which each byte may come by itself.
const tiny = `
CREATE TABLE customer (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customer, note text);
CREATE TABLE log (line text);
INSERT INTO customer (name) SELECT 'c' || g FROM generate_series(1, 300) g;
INSERT INTO orders SELECT g, 1 + g % 300, 'n' || g FROM generate_series(1, 1000) g;
INSERT INTO log SELECT 'twice' FROM generate_series(1, 200);
`

// TestReaderKilled ends sessions that read rows: their chunks come again under the same snapshot.
func TestReaderKilled(t *testing.T) {
	side := newSideBySide(t)
	defer side.wait()
	for _, via := range []bool{false, true} {
		side.run(fmt.Sprint("via=", via), func(t *testing.T) {
			f := newFaultBed(t, much+"INSERT INTO log SELECT now(), repeat('long ', 40) || g FROM generate_series(1, 15000) g")
			f.beside = true
			if via {
				f.via = t.TempDir() + "/archive"
			}
			f.from.Toxic(t, "bandwidth", "downstream", map[string]any{"rate": 1200}) // KB/s
			wait := f.start()
			killed := 0
			for killed < 4 && !f.ended() {
				n, err := f.a.Value(t.Context(), "postgres", fmt.Sprintf(`SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
					WHERE datname = '%s' AND state <> 'idle' AND query LIKE 'LOCK TABLE ONLY%%COPY%%' LIMIT 1) q`, f.src))
				if err != nil {
					t.Fatal(err)
				}
				if n == "1" {
					killed++
					time.Sleep(200 * time.Millisecond)
				}
				time.Sleep(2 * time.Millisecond)
			}
			f.must(wait(), 0)
			if killed == 0 {
				t.Fatal("no session was there to be ended")
			}
			wantText(t, f.out, "comes again", "equal")
			countedOnce(t, f.out)
			f.oracle()
		})
	}
}

// TestSnapshotLost ends the session that holds the snapshot: never a success, and the resumed run digests again.
func TestSnapshotLost(t *testing.T) {
	side := newSideBySide(t)
	defer side.wait()
	for _, how := range []string{"terminated", "stopped"} {
		side.run(how, func(t *testing.T) {
			p := testbed.Shared(t, 0)
			a := p
			if how == "stopped" {
				a = testbed.OwnPostgres(t, testbed.PostgresOptions{})
			}
			f := faultBedOn(t, a, p, much+"INSERT INTO log SELECT now(), repeat('long ', 40) || g FROM generate_series(1, 15000) g")
			f.beside = true
			f.from.Toxic(t, "bandwidth", "downstream", map[string]any{"rate": 4000})
			wait := f.start()
			f.until(p, f.dst, takenChunks(3))
			if how == "stopped" {
				if err := a.Restart(t.Context(), testbed.Immediate); err != nil {
					t.Fatal(err)
				}
			} else {
				testbed.SQL(t, a, "postgres", fmt.Sprintf(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND state = 'idle in transaction'
					AND backend_xmin IS NOT NULL ORDER BY backend_start LIMIT 1`, f.src))
			}
			f.must(wait(), 20)
			wantText(t, f.out, "holds the snapshot is gone", "to go on: pgmove run", "--resume")
			f.nothingLeft()
			testbed.SQL(t, a, f.src, change)
			f.resume()
			f.oracle()
		})
	}
}

// TestNetwork has connections break, hang, and crawl, on either side.
func TestNetwork(t *testing.T) {
	side := newSideBySide(t)
	defer side.wait()
	for _, c := range []struct {
		name, side string
		data       string
		spoil      func(f *faultBed, p *testbed.Proxy)
		codes      []int
		want       string
	}{
		{"latency", "source", tiny, func(f *faultBed, p *testbed.Proxy) {
			p.Toxic(f.t, "latency", "downstream", map[string]any{"latency": 5, "jitter": 10})
		}, []int{0}, ""},
		{"latency", "target", tiny, func(f *faultBed, p *testbed.Proxy) {
			p.Toxic(f.t, "latency", "upstream", map[string]any{"latency": 5, "jitter": 10})
		}, []int{0}, ""},
		{"one-byte slices", "source", tiny, func(f *faultBed, p *testbed.Proxy) {
			p.Toxic(f.t, "slicer", "downstream", map[string]any{"average_size": 1})
		}, []int{0}, ""},
		{"one-byte slices", "target", tiny, func(f *faultBed, p *testbed.Proxy) {
			p.Toxic(f.t, "slicer", "upstream", map[string]any{"average_size": 1})
			p.Toxic(f.t, "slicer", "downstream", map[string]any{"average_size": 1})
		}, []int{0}, ""},
		{"slow", "source", much, func(f *faultBed, p *testbed.Proxy) {
			p.Toxic(f.t, "bandwidth", "downstream", map[string]any{"rate": 1500})
		}, []int{0}, ""},
		{"slow", "target", much, func(f *faultBed, p *testbed.Proxy) {
			p.Toxic(f.t, "bandwidth", "upstream", map[string]any{"rate": 1500})
		}, []int{0}, ""},
		{"early close", "target", much, func(f *faultBed, p *testbed.Proxy) {
			p.Toxic(f.t, "limit_data", "upstream", map[string]any{"bytes": 700_000})
		}, []int{0}, "again"},
		{"reset", "target", much, func(f *faultBed, p *testbed.Proxy) {
			f.until(f.b, f.dst, takenChunks(2))
			p.Toxic(f.t, "reset_peer", "downstream", map[string]any{"timeout": 0})
			time.Sleep(300 * time.Millisecond)
			p.Heal()
		}, []int{0}, "again"},
		{"cut", "target", much, func(f *faultBed, p *testbed.Proxy) {
			for n := 1; n < 12; n += 3 {
				f.until(f.b, f.dst, takenChunks(n))
				p.Relay().Cut()
			}
		}, []int{0}, "again"},
		{"cut", "source", much, func(f *faultBed, p *testbed.Proxy) {
			f.until(f.b, f.dst, takenChunks(2))
			p.Relay().Cut()
		}, []int{20}, "--resume"},
		{"gone for two seconds", "target", much, func(f *faultBed, p *testbed.Proxy) {
			f.until(f.b, f.dst, takenChunks(2))
			p.Relay().Down(true)
			time.Sleep(2 * time.Second)
			p.Relay().Down(false)
		}, []int{0}, "again"},
		{"gone for good", "target", much, func(f *faultBed, p *testbed.Proxy) {
			f.until(f.b, f.dst, takenChunks(2))
			p.Relay().Down(true)
		}, []int{20}, "--resume"},
		{"black hole", "target", much, func(f *faultBed, p *testbed.Proxy) {
			f.until(f.b, f.dst, takenChunks(2))
			p.Relay().Freeze()
		}, []int{0}, "again"},
		{"black hole", "source", much, func(f *faultBed, p *testbed.Proxy) {
			f.until(f.b, f.dst, takenChunks(2))
			p.Relay().Freeze()
		}, []int{20}, "--resume"},
		{"idle cut", "source", much, func(f *faultBed, p *testbed.Proxy) {
			p.Toxic(f.t, "bandwidth", "downstream", map[string]any{"rate": 700})
			p.Relay().CutIdle(5 * time.Second)
		}, []int{0}, ""},
		{"idle cut", "target", much, func(f *faultBed, p *testbed.Proxy) {
			f.from.Toxic(f.t, "bandwidth", "downstream", map[string]any{"rate": 700})
			p.Relay().CutIdle(5 * time.Second)
		}, []int{0}, ""},
	} {
		side.run(c.name+" "+c.side, func(t *testing.T) {
			f := newFaultBed(t, c.data)
			f.beside = true
			p := f.from
			if c.side == "target" {
				p = f.to
			}
			if strings.HasPrefix(c.name, "cut") || strings.HasPrefix(c.name, "black") || strings.HasPrefix(c.name, "gone") || c.name == "reset" {
				f.from.Toxic(t, "bandwidth", "downstream", map[string]any{"rate": 2000}) // so that there is something to break
			}
			spoiled := make(chan struct{})
			var wait func() int
			if c.codes[0] == 0 && c.want == "" {
				c.spoil(f, p)
				close(spoiled)
				wait = f.start()
			} else {
				wait = f.start()
				go func() { defer close(spoiled); c.spoil(f, p) }()
			}
			code := wait()
			<-spoiled
			f.must(code, c.codes...)
			wantText(t, f.out, c.want)
			p.Relay().Down(false)
			if code != 0 {
				f.resume()
			}
			f.oracle()
		})
	}
}

// TestCommitAnswerLost cuts the connection before or after the COMMIT of a chunk, or of entries, reaches the target: the ledger
// is asked, and nothing is lost or done twice.
func TestCommitAnswerLost(t *testing.T) {
	side := newSideBySide(t)
	defer side.wait()
	for name, verdict := range map[string]testbed.Verdict{"before": testbed.CutBefore, "after": testbed.CutAfter} {
		side.run(name, func(t *testing.T) {
			f := newFaultBed(t, much)
			f.beside = true
			var commits, cuts atomic.Int64
			f.to.Relay().Judge(func(b []byte) testbed.Verdict {
				if bytes.Contains(b, []byte("INSERT INTO pgmove.taken (id, part, rows, digest)")) && commits.Add(1)%3 == 0 {
					cuts.Add(1)
					return verdict
				}
				return testbed.Pass
			})
			f.must(f.start()(), 0)
			if cuts.Load() < 5 {
				t.Errorf("only %d connections were cut", cuts.Load())
			}
			t.Logf("%d of %d commits were cut %s the server had them", cuts.Load(), commits.Load(), name)
			// What the server had is known from the ledger, and not sent again.
			if again := strings.Count(f.out, "is loaded again") + strings.Count(f.out, "is tried again"); name == "after" && again > 0 || name == "before" && again == 0 {
				t.Errorf("%d chunks and entries came again:\n%s", again, f.out)
			}
			f.oracle()
		})
	}
}
