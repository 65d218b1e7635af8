package main

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgmove/pgmove/internal/testbed"
)

// What the tests of faults share: the servers behind proxies, and the oracle.

// faultBed is two databases, each behind a proxy.
type faultBed struct {
	t        *testing.T
	a, b     *testbed.Postgres // of source and target
	src, dst string
	from, to *testbed.Proxy
	via      string
	rng      *rand.Rand
	seed     int64
	over     chan struct{} // closed when the run has ended
	out      string
	beside   bool // other tests run at the same time
}

// newFaultBed makes the databases on the shared server; the source holds what sql makes.
func newFaultBed(t *testing.T, sql string) *faultBed {
	t.Helper()
	p := testbed.Shared(t, 0)
	return faultBedOn(t, p, p, sql)
}

func faultBedOn(t *testing.T, a, b *testbed.Postgres, sql string) *faultBed {
	t.Helper()
	f := &faultBed{t: t, a: a, b: b, src: testbed.Database(t, a), dst: testbed.Database(t, b)}
	testbed.SQL(t, a, f.src, sql)
	f.from, f.to = testbed.NewProxy(t, a.Addr()), testbed.NewProxy(t, b.Addr())
	f.seed = number(t, "PGMOVE_SEED", time.Now().UnixNano()%1e9)
	f.rng = rand.New(rand.NewPCG(uint64(f.seed), 2))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to see this again: PGMOVE_SEED=%d", f.seed)
		}
	})
	return f
}

// sideBySide runs subtests that mostly wait: six at a time, however few processors there are. It then looks for
// what goroutines they left.
type sideBySide struct {
	t     *testing.T
	group errgroup.Group
}

func newSideBySide(t *testing.T) *sideBySide {
	s := &sideBySide{t: t}
	s.group.SetLimit(6)
	return s
}

func (s *sideBySide) run(name string, f func(t *testing.T)) {
	s.group.Go(func() error {
		s.t.Run(name, f)
		return nil
	})
}

func (s *sideBySide) wait() {
	_ = s.group.Wait() // nothing there returns an error
	noGoroutines(s.t)
}

// args are those of a run through the proxies.
func (f *faultBed) args(more ...string) []string {
	args := []string{"run", "--source", f.a.URLThrough(f.from.Addr(), f.src), "--target", f.b.URLThrough(f.to.Addr(), f.dst), "--split-size", "200kB", "--jobs", "2"}
	if f.via != "" {
		args = append(args, "--via", f.via)
	}
	return append(args, more...)
}

// start begins a run in this process; what it returns waits for its end and returns its exit code.
func (f *faultBed) start(more ...string) func() int {
	done := make(chan int, 1)
	over := make(chan struct{})
	f.over = over
	go func() {
		defer close(over)
		code, out, errs := pgmove(f.t, f.args(more...)...)
		f.out = out + errs
		done <- code
	}()
	return func() int {
		select {
		case code := <-done:
			return code
		case <-time.After(2 * time.Minute):
			buf := make([]byte, 1<<20)
			f.t.Fatalf("it hangs\n%s", buf[:runtime.Stack(buf, true)])
			return -1
		}
	}
}

// ended reports whether the run has ended.
func (f *faultBed) ended() bool {
	select {
	case <-f.over:
		return true
	default:
		return false
	}
}

// must fails the test unless the exit code is one of those.
func (f *faultBed) must(code int, want ...int) {
	f.t.Helper()
	for _, w := range want {
		if code == w {
			return
		}
	}
	f.t.Fatalf("exit code %d, want %v\n%s", code, want, f.out)
}

// resume goes on without faults until the run has ended.
func (f *faultBed) resume() {
	f.t.Helper()
	f.from.Heal()
	f.to.Heal()
	f.must(f.start("--resume")(), 0)
}

// oracle asks for all that must be so after every case: both sides equal, nothing left behind, no secret told.
func (f *faultBed) oracle() {
	f.t.Helper()
	testbed.MustBeEqual(f.t, f.a, f.src, f.b, f.dst)
	f.nothingLeft()
}

func (f *faultBed) nothingLeft() {
	f.t.Helper()
	for _, s := range []struct {
		p  *testbed.Postgres
		db string
	}{{f.a, f.src}, {f.b, f.dst}} {
		if strings.Contains(f.out, s.p.Password()) {
			f.t.Errorf("the output shows a password:\n%s", f.out)
		}
		left := ""
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			n, err := s.p.Value(f.t.Context(), "postgres", fmt.Sprintf(`SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = '%[1]s' AND backend_type = 'client backend')
				+ (SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE d.datname = '%[1]s' AND locktype = 'advisory')
				+ (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_prepared_xacts)`, s.db))
			if err != nil {
				f.t.Fatal(err)
			}
			if left = n; n == "0" {
				break
			}
		}
		if left != "0" {
			rows, _ := s.p.Query(f.t.Context(), "postgres", "SELECT application_name, state, query FROM pg_stat_activity WHERE datname = '"+s.db+"'")
			f.t.Errorf("%s sessions, locks or slots are left: %q", left, rows)
		}
	}
	if !f.beside {
		noGoroutines(f.t)
	}
}

var ownCode = regexp.MustCompile(`github\.com/pgmove/pgmove/(dump|restore|stream|validate|internal/(pgsession|mysession|still))`)

// noGoroutines fails the test where pgmove's own goroutines outlive a command.
func noGoroutines(t *testing.T) {
	t.Helper()
	var left, driver []string
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		buf := make([]byte, 4<<20)
		left, driver = nil, nil
		for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if ownCode.MatchString(g) && !strings.Contains(g, "net/http.(*persistConn)") { // kept for the next request
				left = append(left, g)
			} else if strings.Contains(g, "pgconn.") {
				driver = append(driver, g) // it may tell why
			}
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("%d goroutines are left:\n%s\n\nof the driver:\n%s", len(left), strings.Join(left, "\n\n"), strings.Join(driver, "\n\n"))
}

// until waits for a condition, a query's "t" on a server, while the run goes on.
func (f *faultBed) until(p *testbed.Postgres, db, query string) {
	f.t.Helper()
	if !f.untilOrEnd(p, db, query) {
		f.t.Errorf("it never became so: %s\n%s", query, f.out)
	}
}

// untilOrEnd is until that the run's end ends too.
func (f *faultBed) untilOrEnd(p *testbed.Postgres, db, query string) bool {
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if v, err := p.Value(f.t.Context(), db, query); err == nil && v == "t" {
			return true
		}
		if f.over != nil && f.ended() {
			return false
		}
	}
	return false
}

// takenChunks is a query for so many chunks in the ledger.
func takenChunks(n int) string {
	return fmt.Sprintf("SELECT (xpath('/row/c/text()', query_to_xml('SELECT count(*) AS c FROM pgmove.taken WHERE part >= 0', false, true, '')))[1]::text::int >= %d WHERE to_regclass('pgmove.taken') IS NOT NULL", n)
}
