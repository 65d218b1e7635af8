package main

import (
	"fmt"
	"net"
	"net/url"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// What the tests of MySQL's faults share: the servers behind proxies, and the oracle.

// throngedBazaar is the bazaar with more in it, all of it in tables with transactions.
const throngedBazaar = bazaar + `
CREATE TABLE log (at datetime, line text);
INSERT INTO log SELECT NULL, 'twice' FROM seq_1_to_500;
INSERT INTO log SELECT '2026-01-01' + INTERVAL seq SECOND, CONCAT('line ', seq) FROM seq_1_to_1000;
CREATE TABLE wide (id int PRIMARY KEY, v varchar(300), n int, KEY n (n), KEY v (v(20)));
INSERT INTO wide SELECT seq, CONCAT(MD5(seq), REPEAT('w', 250)), seq % 977 FROM seq_1_to_5000;
CREATE TABLE past (id int PRIMARY KEY, v varchar(100), KEY v (v), FULLTEXT KEY words (v)) WITH SYSTEM VERSIONING;
INSERT INTO past SELECT seq, 'first words' FROM seq_1_to_300;
UPDATE past SET v = 'second words' WHERE id % 2 = 0;
CREATE SEQUENCE alone START WITH 41 INCREMENT BY 7;
DO NEXTVAL(alone);
CREATE TRIGGER loud BEFORE INSERT ON orders FOR EACH ROW SET NEW.note = CONCAT(NEW.note, '!');
CREATE EVENT never ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DO DELETE FROM log;
ANALYZE TABLE customer, orders, log, wide, past;
`

// mariaBed is two databases, each behind a proxy.
type mariaBed struct {
	t        *testing.T
	a, b     *testbed.MariaDB // of source and target
	src, dst string
	from, to *testbed.Proxy
	split    string
	over     chan struct{} // closed when the run has ended
	out      string
}

func newMariaBed(t *testing.T, sql string) *mariaBed {
	t.Helper()
	from, to := mariaServers(t)
	return mariaBedOn(t, from, to, sql)
}

func mariaBedOn(t *testing.T, a, b *testbed.MariaDB, sql string) *mariaBed {
	t.Helper()
	f := &mariaBed{t: t, a: a, b: b, src: testbed.MariaDatabase(t, "", a), dst: testbed.MariaDatabase(t, "", b), split: "128kB"}
	testbed.MariaSQL(t, a, f.src, sql)
	f.from, f.to = testbed.NewProxy(t, mariaAddr(a)), testbed.NewProxy(t, mariaAddr(b))
	return f
}

func mariaAddr(m *testbed.MariaDB) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(m.Port()))
}

// throughMaria is a database's URL through a proxy at the address.
func throughMaria(t *testing.T, m *testbed.MariaDB, addr, db string) string {
	t.Helper()
	u, err := url.Parse(m.URL(db))
	if err != nil {
		t.Fatal(err)
	}
	u.Host = addr
	u.RawQuery += "&connect_timeout=5"
	return u.String()
}

func (f *mariaBed) args(more ...string) []string {
	return append([]string{"run", "--source", throughMaria(f.t, f.a, f.from.Addr(), f.src), "--target", throughMaria(f.t, f.b, f.to.Addr(), f.dst),
		"--split-size", f.split, "--jobs", "2"}, more...)
}

// slow has the source's rows come slowly, so that there is something to break.
func (f *mariaBed) slow() *mariaBed {
	f.from.Toxic(f.t, "bandwidth", "downstream", map[string]any{"rate": 1200}) // KB/s
	return f
}

// start begins a run in this process; what it returns waits for its end and returns its exit code.
func (f *mariaBed) start(more ...string) func() int {
	over := make(chan struct{})
	f.over = over
	var code int
	go func() {
		defer close(over)
		c, out, errs := pgmove(f.t, f.args(more...)...)
		code, f.out = c, out+errs
	}()
	return func() int {
		select {
		case <-over:
			return code
		case <-time.After(4 * time.Minute):
			buf := make([]byte, 1<<20)
			f.t.Fatalf("it hangs\n%s", buf[:runtime.Stack(buf, true)])
			return -1
		}
	}
}

func (f *mariaBed) must(code, want int) {
	f.t.Helper()
	if code != want {
		f.t.Fatalf("exit code %d, want %d\n%s", code, want, f.out)
	}
}

// resume goes on without faults until the run has ended.
func (f *mariaBed) resume() {
	f.t.Helper()
	f.from.Heal()
	f.to.Heal()
	f.to.Relay().Judge(nil)
	f.must(f.start("--resume")(), 0)
}

// oracle asks for all that must be so after every case: both sides equal, nothing left behind, no secret told.
func (f *mariaBed) oracle() {
	f.t.Helper()
	mustBeEqualMaria(f.t, f.a, f.src, f.b, f.dst)
	f.nothingLeft()
	if n, err := f.b.Value(f.t.Context(), f.dst, "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME LIKE 'pgmove%'"); err != nil || n != "0" {
		f.t.Errorf("the ledger is still there: %s %v", n, err)
	}
}

// nothingLeft looks for sessions of pgmove on both sides.
func (f *mariaBed) nothingLeft() {
	f.t.Helper()
	for _, s := range []struct {
		m  *testbed.MariaDB
		db string
	}{{f.a, f.src}, {f.b, f.dst}} {
		if strings.Contains(f.out, s.m.Password()) {
			f.t.Errorf("the output shows a password:\n%s", f.out)
		}
		left := ""
		for deadline := time.Now().Add(30 * time.Second); left != "0" && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			var err error
			if left, err = s.m.Value(f.t.Context(), "", "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '"+s.db+"'"); err != nil {
				f.t.Fatal(err)
			}
		}
		if left != "0" {
			rows, _ := s.m.Query(f.t.Context(), "", "SELECT COMMAND, STATE, INFO FROM information_schema.PROCESSLIST WHERE DB = '"+s.db+"'")
			f.t.Errorf("%s sessions are left: %q", left, rows)
		}
	}
}

// until waits for a condition on the target, a query's 1, while the run goes on; false where the run ended before.
func (f *mariaBed) until(query string) bool {
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if v, err := f.b.Value(f.t.Context(), f.dst, query); err == nil && v == "1" {
			return true
		}
		select {
		case <-f.over:
			return false
		default:
		}
	}
	f.t.Errorf("it never became so: %s", query)
	return false
}

// loaded waits for so many chunks in the ledger.
func (f *mariaBed) loaded(n int) bool {
	return f.until(fmt.Sprintf("SELECT COUNT(*) >= %d FROM pgmove_ledger_taken WHERE part >= 0", n))
}

// kill ends sessions of the target's database that a condition on its processlist chooses, and returns how many.
func (f *mariaBed) kill(how, which string) (n int) {
	f.t.Helper()
	rows, err := f.b.Query(f.t.Context(), "", "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '"+f.dst+"' AND ("+which+")")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, r := range rows {
		if f.b.Exec(f.t.Context(), "", how+" "+r[0]) == nil { // it may have ended just now
			n++
		}
	}
	return n
}

// restart stops the target's server and starts it again.
func (f *mariaBed) restart(crash bool) {
	f.t.Helper()
	if err := f.b.Stop(f.t.Context(), crash); err != nil {
		f.t.Error(err)
	}
	if err := f.b.Start(f.t.Context()); err != nil {
		f.t.Error(err)
	}
}
