package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// mariaTally counts what happened to moves of MySQL databases.
type mariaTally struct{ moves, kills, cuts, sessions, restarts, again, outages, undisturbed int }

// mariaSoak is a series of random moves.
type mariaSoak struct {
	a, b  *testbed.MariaDB // of source and target; b restarts now and then
	takes time.Duration    // how long a move took last that nothing disturbed
	mariaTally
}

// TestMySQLRandomKills kills pgmove at random moments, cuts its connections on either side, has the target's server end its sessions, crash and
// start again, and resumes until the move ends. PGMOVE_SOAK is how many moves, PGMOVE_SEED repeats those of a run.
func TestMySQLRandomKills(t *testing.T) {
	seed, rounds := number(t, "PGMOVE_SEED", time.Now().UnixNano()%1e9), number(t, "PGMOVE_SOAK", 1)
	s := &mariaSoak{a: testbed.SharedMariaDB(t, 0), takes: time.Second,
		b: testbed.OwnMariaDB(t, testbed.MariaDBOptions{Settings: map[string]string{"server-id": "8", "innodb-flush-log-at-trx-commit": "1"}})}
	begun := time.Now()
	for n := seed; n < seed+rounds; n++ {
		if !t.Run(fmt.Sprint(n), func(t *testing.T) { s.move(t, rand.New(rand.NewPCG(uint64(n), 3)), n%2 == 1) }) {
			t.Fatalf("to see this again: PGMOVE_SEED=%d PGMOVE_SOAK=1", n)
		}
	}
	t.Logf("%d moves in %v, seeds %d to %d, %d processors: %+v", rounds, time.Since(begun).Round(time.Second), seed, seed+rounds-1, runtime.NumCPU(), s.mariaTally)
}

// move is one random move, direct or through a folder.
func (s *mariaSoak) move(t *testing.T, rng *rand.Rand, via bool) {
	f := mariaBedOn(t, s.a, s.b, throngedBazaar)
	f.split = fmt.Sprintf("%dkB", 40+rng.IntN(300))
	args := f.args("--resume")
	if rng.IntN(2) == 0 {
		args = append(args, "--jobs", "4")
	}
	if via {
		args = append(args, "--via", filepath.Join(t.TempDir(), "archive"))
	}
	for try := 0; ; try++ {
		over, done := make(chan struct{}), make(chan struct{})
		limit := time.Duration(0)
		if try < 4 && rng.IntN(2) == 0 {
			limit = 50*time.Millisecond + time.Duration(rng.Float64()*float64(s.takes))
		}
		go func() {
			defer close(done)
			if try < 4 {
				s.disturb(f, rng, over)
			}
		}()
		begun := time.Now()
		r := execute(t, nil, limit, args...)
		close(over)
		<-done
		s.again += strings.Count(r.errors, "again: ")
		switch r.code {
		case 0:
			if try >= 4 {
				s.undisturbed++
				s.takes = time.Since(begun)
			}
			s.moves++
			f.oracle()
			return
		case -1:
			s.kills++
		case 20:
			s.outages++
		default:
			t.Fatalf("try %d: exit code %d\n%s%s", try, r.code, r.out, r.errors)
		}
		if try > 6 {
			t.Fatalf("it never ends\n%s%s", r.out, r.errors)
		}
	}
}

// disturb does something a few times, until the command is over.
func (s *mariaSoak) disturb(f *mariaBed, rng *rand.Rand, over <-chan struct{}) {
	for range 1 + rng.IntN(4) {
		select {
		case <-over:
			return
		case <-time.After(time.Duration(rng.Float64() * float64(s.takes))):
		}
		switch rng.IntN(8) {
		case 0, 1, 2:
			s.cuts += f.to.Relay().Cut()
		case 3:
			s.cuts += f.from.Relay().Cut()
		case 4, 5:
			s.sessions += f.kill("KILL", "ID % 2 = "+fmt.Sprint(rng.IntN(2)))
		case 6:
			s.sessions += f.kill("KILL", control)
		case 7:
			f.restart(rng.IntN(2) == 0)
			s.restarts++
		}
	}
}
