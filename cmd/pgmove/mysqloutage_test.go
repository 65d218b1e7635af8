package main

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// control chooses the session that holds the run's lock, among those of a database.
const control = "ID = IS_USED_LOCK(CONCAT('pgmove ledger ', LEFT(SHA2(DB, 256), 32)))"

// TestMySQLOutages has all happen, side by side, that may happen to a MySQL target, its server and its connections: where it can the run goes on by
// itself, and each row arrives once.
func TestMySQLOutages(t *testing.T) {
	side := newSideBySide(t)
	defer side.wait()
	mariaGoneForGood(side)
	mariaConnections(side)
	mariaRestarts(side)
	mariaAnswersLost(side)
	mariaDefinitions(side)
	side.run("taken over", mariaTakenOver)
	side.run("rows that stay", mariaUncovered)
}

// mariaConnections has connections break, hang, and be ended.
func mariaConnections(side *sideBySide) {
	for _, c := range []struct {
		name  string
		spoil func(f *mariaBed)
		code  int
		want  string
	}{
		{"cut again and again, and gone for two seconds", func(f *mariaBed) {
			for n := 1; n < 12 && f.loaded(n); n += 5 {
				f.to.Relay().Cut()
			}
			f.to.Relay().Down(true)
			time.Sleep(2 * time.Second)
			f.to.Relay().Down(false)
		}, 0, "again"},
		{"black hole", func(f *mariaBed) {
			f.loaded(2)
			f.to.Relay().Freeze()
		}, 0, "again"},
		{"black hole before the source", func(f *mariaBed) {
			f.loaded(2)
			f.from.Relay().Freeze()
		}, 20, "--resume"},
		{"killed", func(f *mariaBed) {
			const loading = "INFO LIKE 'LOAD DATA%' AND COMMAND = 'Query'"
			for killed := 0; killed < 4 && f.until("SELECT COUNT(*) > 0 FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND "+loading); {
				killed += f.kill([]string{"KILL", "KILL QUERY"}[killed%2], loading)
			}
			f.kill("KILL", control)
		}, 0, "again"},
	} {
		side.run(c.name, func(t *testing.T) {
			f := newMariaBed(t, throngedBazaar).slow()
			wait := f.start()
			c.spoil(f)
			f.must(wait(), c.code)
			wantText(t, f.out, c.want)
			// Nobody told the servers of connections that hang and had nothing to do.
			f.from.Relay().Cut()
			f.to.Relay().Cut()
			if c.code != 0 {
				f.nothingLeft()
				f.resume()
			}
			f.oracle()
		})
	}
}

// mariaGoneForGood: who can't be reached any more is waited for, and not for ever.
func mariaGoneForGood(side *sideBySide) {
	side.run("gone for good", func(t *testing.T) {
		f := newMariaBed(t, throngedBazaar).slow()
		wait := f.start()
		f.loaded(2)
		f.to.Relay().Down(true)
		f.must(wait(), 20)
		wantText(t, f.out, "again", "to go on: pgmove run", "--resume")
		f.to.Relay().Down(false)
		f.nothingLeft()
		f.resume()
		f.oracle()
	})
}

// mariaRestarts restarts the target's server in the middle of the rows. Nothing is lost in order, nor by a crash of a server that
// writes each commit to its disk; of another one the last commits may be lost, which is told and then resumed.
func mariaRestarts(side *sideBySide) {
	for _, c := range []struct {
		name  string
		crash bool
		flush string
		mayBe int
	}{{"restart", false, "1", 0}, {"crash", true, "1", 0}, {"crash that loses commits", true, "0", 20}} {
		side.run(c.name, func(t *testing.T) {
			b := testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{"innodb-flush-log-at-trx-commit": c.flush, "server-id": "7"}})
			f := mariaBedOn(t, testbed.SharedMariaDB(t, 0), b, throngedBazaar).slow()
			wait := f.start()
			if f.loaded(4) {
				f.restart(c.crash)
			}
			code := wait()
			if code != 0 {
				f.must(code, c.mayBe)
				wantText(t, f.out, "the server lost", "--resume")
				f.resume()
			} else {
				wantText(t, f.out, "again")
			}
			f.oracle()
		})
	}
}

// mariaAnswersLost cuts the connection before or after a COMMIT, a ledger row or a definition reaches the target: nothing
// is lost or done twice.
func mariaAnswersLost(side *sideBySide) {
	for _, c := range []struct {
		name    string
		verdict testbed.Verdict
		what    []string
		every   int64
	}{
		{"COMMIT before", testbed.CutBefore, []string{"\x03COMMIT"}, 4},
		{"COMMIT after", testbed.CutAfter, []string{"\x03COMMIT"}, 4},
		{"definitions before", testbed.CutBefore, []string{"\x03CREATE ", "\x03ALTER ", "\x03SELECT SETVAL"}, 2},
		{"definitions and ledger rows after", testbed.CutAfter, []string{"\x03CREATE ", "\x03ALTER ", "\x03SELECT SETVAL", "INSERT INTO pgmove_ledger_taken"}, 3},
	} {
		side.run(c.name, func(t *testing.T) {
			f := newMariaBed(t, throngedBazaar)
			var seen, cuts atomic.Int64
			f.to.Relay().Judge(func(b []byte) testbed.Verdict {
				for _, what := range c.what {
					if bytes.Contains(b, []byte(what)) && !bytes.Contains(b, []byte("CREATE TABLE pgmove_")) && seen.Add(1)%c.every == 0 {
						cuts.Add(1)
						return c.verdict
					}
				}
				return testbed.Pass
			})
			f.must(f.start()(), 0)
			if cuts.Load() < 3 {
				t.Errorf("only %d connections were cut", cuts.Load())
			}
			t.Logf("%d of %d were cut", cuts.Load(), seen.Load())
			// A COMMIT that the server had is known from the ledger, and its rows are not sent again.
			if again := strings.Count(f.out, "is loaded again"); c.name == "COMMIT after" && again > 0 || c.name == "COMMIT before" && again == 0 {
				t.Errorf("%d chunks came again:\n%s", again, f.out)
			}
			f.oracle()
		})
	}
}

// mariaDefinitions cuts the connection, or kills pgmove, while the server works at an index: that is never built a second time beside it.
func mariaDefinitions(side *sideBySide) {
	const building = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE 'ALTER TABLE `wide`%ADD%' AND COMMAND <> 'Killed'"
	for _, killed := range []bool{false, true} {
		side.run(fmt.Sprint("an index goes on, killed=", killed), func(t *testing.T) {
			f := newMariaBed(t, throngedBazaar)
			// While a transaction has read the table no ALTER gets on.
			held := make(chan struct{})
			hold := func() {
				go func() {
					defer close(held)
					_ = f.b.Exec( // which is killed
						t.Context(), f.dst, "START TRANSACTION; SELECT COUNT(*) FROM wide; SELECT GET_LOCK('hold "+f.dst+"', 0); SELECT SLEEP(600); COMMIT")
				}()
				f.until("SELECT IS_USED_LOCK('hold " + f.dst + "') IS NOT NULL")
			}
			tables := "SELECT COUNT(*) = 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'wide'"
			f.slow()
			var wait func() int
			if killed {
				file, err := binary()
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), file, f.args()...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				f.until(tables)
				hold()
				f.until("SELECT (" + building + ") = 1")
				_ = cmd.Process.Kill()
				_ = cmd.Wait() // it was killed
				f.from.Heal()
				wait = f.start("--resume")
			} else {
				wait = f.start()
				f.until(tables)
				hold()
				f.until("SELECT (" + building + ") = 1")
				f.to.Relay().Cut()
			}
			for range 20 {
				if n, err := f.b.Value(t.Context(), f.dst, building); err != nil || n > "1" {
					t.Errorf("%s sessions build the index: %v", n, err)
				}
				time.Sleep(20 * time.Millisecond)
			}
			f.until("SELECT (" + building + ") = 1")
			if id, err := f.b.Value(t.Context(), "", "SELECT IS_USED_LOCK('hold "+f.dst+"')"); err != nil || f.b.Exec(t.Context(), "", "KILL "+id) != nil {
				t.Fatal(err)
			}
			<-held
			f.must(wait(), 0)
			f.oracle()
		})
	}
}

// mariaTakenOver: a run that loses its lock to a second one, which resumes it, ends; the second one ends well.
func mariaTakenOver(t *testing.T) {
	f := newMariaBed(t, throngedBazaar).slow()
	first := f.start()
	f.loaded(2)
	second := make(chan string, 1)
	go func() {
		_, out, errs := pgmove(t, append(f.args(), "--resume")...)
		second <- out + errs
	}()
	f.until("SELECT COUNT(*) = 1 FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE 'SELECT GET_LOCK(''pgmove ledger%'")
	f.kill("KILL", control)
	f.must(first(), 11)
	wantText(t, f.out, "another pgmove")
	if out := <-second; !strings.Contains(out, "equal") || strings.Contains(out, "rerun") {
		t.Errorf("the second one:\n%s", out)
	}
	f.oracle()
}

// mariaUncovered: rows of a table without transactions stay where the connection breaks. The run ends, and is resumed.
func mariaUncovered(t *testing.T) {
	f := newMariaBed(t, bazaar+"CREATE TABLE isam (id int PRIMARY KEY, v varchar(500)) ENGINE=MyISAM; INSERT INTO isam SELECT seq, REPEAT('i', 400) FROM seq_1_to_10000; ANALYZE TABLE customer, orders, isam").slow()
	f.split = "100MB"
	wait := f.start()
	f.until("SELECT COUNT(*) = 1 FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE 'LOAD DATA%isam%'")
	f.to.Relay().Cut()
	f.must(wait(), 20)
	wantText(t, f.out, "isam", "empties the table", "--resume")
	f.resume()
	f.oracle()
}
