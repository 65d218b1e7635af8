package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// number reads a variable of the environment.
func number(t *testing.T, name string, otherwise int64) int64 {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(v, 10, 64)
	if err != nil {
		t.Fatalf("%s=%s: %v", name, v, err)
	}
	return n
}

// ways are those on which the random moves go. The last, dump, comes before restore.
var ways = []string{"`run`, direct", "`run --via` a folder", "`restore` from a folder", "`run --via` S3", "`dump` to that folder"}

// tally counts what happened to the commands of one way.
type tally struct {
	moves, kills, restarts, cuts, outages, rows int64
	amid                                        int64         // kills after which a part of the rows was there
	takes                                       time.Duration // how long a command took last that nothing disturbed
}

// soak is a series of random moves.
type soak struct {
	a, b    *testbed.Postgres // of source and target; b restarts now and then
	s3      *testbed.S3
	tallies [5]tally
}

// TestRandomKills kills pgmove at random moments, cuts its connections and restarts its target's server, changes the source between
// while that means anything, and resumes until it ends. PGMOVE_SOAK is how many moves, PGMOVE_SEED repeats those of a run;
// into PGMOVE_SOAK_FIGURES, a page of the documentation, goes what came of it.
func TestRandomKills(t *testing.T) {
	seed := number(t, "PGMOVE_SEED", time.Now().UnixNano()%1e9)
	rounds := number(t, "PGMOVE_SOAK", 4)
	s := &soak{a: testbed.Shared(t, 0), b: testbed.OwnPostgres(t, testbed.PostgresOptions{}), s3: testbed.SharedS3(t)}
	useS3(t, s.s3)
	begun := time.Now()
	for i := range rounds {
		n := seed + i
		ok := t.Run(fmt.Sprint(n), func(t *testing.T) { s.move(t, rand.New(rand.NewPCG(uint64(n), 1)), int(n%4)) })
		if !ok {
			t.Fatalf("to see this again: PGMOVE_SEED=%d PGMOVE_SOAK=1", n)
		}
	}
	figures, kills := s.figures(seed, rounds, time.Since(begun))
	t.Logf("\n%s", figures)
	if kills == 0 {
		t.Error("nothing was killed")
	}
	if file := os.Getenv("PGMOVE_SOAK_FIGURES"); file != "" {
		between(t, file, "<!-- soak -->\n", "<!-- /soak -->\n", figures)
	}
}

// figures is the table for the documentation. It is made of moves that all ended equal: else there is none.
func (s *soak) figures(seed, rounds int64, took time.Duration) (text string, kills int64) {
	var b strings.Builder
	fmt.Fprintf(&b, "%d moves in %v, seeds %d to %d, PostgreSQL %d, %d processors (%s), %s:\n\n", rounds, took.Round(time.Second), seed, seed+rounds-1, s.a.Major(),
		runtime.NumCPU(), runtime.GOARCH, time.Now().UTC().Format("2 January 2006"))
	b.WriteString("| command | moves | kills survived | of them with some rows there | target restarted | connections cut | ended with 20, resumed | rows moved | rows lost | rows doubled |\n")
	b.WriteString("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	var all tally
	line := func(way string, t tally) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d | %d | %d | %d | 0 | 0 |\n", way, t.moves, t.kills, t.amid, t.restarts, t.cuts, t.outages, t.rows)
	}
	for i, t := range s.tallies {
		line(ways[i], t)
		all = tally{moves: all.moves + t.moves, kills: all.kills + t.kills, amid: all.amid + t.amid, restarts: all.restarts + t.restarts,
			cuts: all.cuts + t.cuts, outages: all.outages + t.outages, rows: all.rows + t.rows}
	}
	line("all", all)
	return b.String(), all.kills
}

// between replaces what stands between two marks of a file.
func between(t *testing.T, file, begin, end, text string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks its marks", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+text+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

// move is one random move.
func (s *soak) move(t *testing.T, rng *rand.Rand, way int) {
	src, dst, dir := testbed.Database(t, s.a), testbed.Database(t, s.b), filepath.Join(t.TempDir(), "archive")
	testbed.SQL(t, s.a, src, much)
	from, to := testbed.NewRelay(t, s.a.Addr()), testbed.NewRelay(t, s.b.Addr())
	source, target := s.a.URLThrough(from.Addr(), src), s.b.URLThrough(to.Addr(), dst)
	n := &s.tallies[way]
	args := []string{"run", "--source", source, "--target", target}
	common := []string{"--jobs", fmt.Sprint(1 + rng.IntN(4)), "--resume"}
	dump := []string{"--split-size", fmt.Sprintf("%dkB", 60+rng.IntN(400)), "--compress", "gzip"}
	bucket := ""
	switch way {
	case 1:
		dump = append(dump, "--via", dir)
	case 2:
		s.attempt(t, rng, &s.tallies[4], from, to, func() bool {
			dats, err := filepath.Glob(dir + "/[0-9]*.dat*")
			return err == nil && len(dats) > 0
		}, append(append([]string{"dump", "--source", source, "--to", dir}, dump...), common...)...)
		args, dump = []string{"restore", "--from", dir, "--target", target}, nil
	case 3:
		bucket = testbed.Bucket(t, s.s3)
		dir = filepath.Join(s.s3.BucketDir(bucket), "x")
		dump = append(dump, "--s3-path-style", "--via", "s3://"+bucket+"/x")
	}
	s.attempt(t, rng, n, from, to, func() (amid bool) {
		amid = len(ledger(t, s.b, dst)) > 0
		if way == 2 || rng.IntN(2) == 0 {
			return amid
		}
		s.settled(t, dst, way)
		if !ended(t, s.b, dst, dir, way) {
			testbed.SQL(t, s.a, src, randomChange(rng))
		}
		return amid
	}, append(append(args, dump...), common...)...)
	testbed.MustBeEqual(t, s.a, src, s.b, dst)
	if ledger(t, s.b, dst) != nil {
		t.Error("the ledger is still there")
	}
	if bucket != "" {
		noUploads(t, s.s3, bucket)
	}
	rows, err := s.b.Value(t.Context(), dst, "SELECT (SELECT count(*) FROM customer) + (SELECT count(*) FROM orders) + (SELECT count(*) FROM log) + (SELECT count(*) FROM parts)")
	if err != nil {
		t.Fatal(err)
	}
	k, _ := strconv.ParseInt(rows, 10, 64)
	n.rows += k
	n.moves++
}

// settled waits until the servers have done what a killed process had still told them: the last of it may be what ends
// the run, and then the source must not change any more.
func (s *soak) settled(t *testing.T, dst string, way int) {
	t.Helper()
	busy := func() (bool, error) { return false, nil }
	switch way {
	case 0:
		busy = func() (bool, error) {
			v, err := s.b.Value(t.Context(), "postgres", "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pgmove' AND datname = '"+dst+"'")
			return v == "t", err
		}
	case 3:
		busy = func() (bool, error) { return halfClosed(s.s3.Endpoint()) }
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		still, err := busy()
		if err != nil {
			t.Fatal(err)
		}
		if !still {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the servers go on with what is long dead")
		}
	}
}

// halfClosed reports whether a server on this machine still has connections whose client is gone.
func halfClosed(endpoint string) (bool, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return false, err
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return false, err
	}
	const closeWait = "08"
	local := fmt.Sprintf(":%04X", port)
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		for _, line := range strings.Split(string(b), "\n") {
			if f := strings.Fields(line); len(f) > 3 && strings.HasSuffix(f[1], local) && f[3] == closeWait {
				return true, nil
			}
		}
	}
	return false, nil
}

// attempt runs a command, disturbs it a few times and then lets it end. Each time it is killed within the time that it would need;
// between then tells whether some rows are there.
func (s *soak) attempt(t *testing.T, rng *rand.Rand, n *tally, from, to *testbed.Relay, between func() bool, args ...string) {
	t.Helper()
	for try := 0; ; try++ {
		limit, done := time.Duration(0), make(chan struct{})
		disturb := func() {}
		if try < 6 {
			limit = 100*time.Millisecond + time.Duration(rng.Float64()*float64(max(n.takes, 700*time.Millisecond)))
			at := time.Duration(rng.Int64N(int64(limit)))
			switch rng.IntN(8) {
			case 0:
				disturb = func() { n.cuts += int64(to.Cut()) }
			case 1:
				disturb = func() { n.cuts += int64(from.Cut()) }
			case 2:
				disturb = func() {
					if err := s.b.Restart(context.WithoutCancel(t.Context()), []testbed.StopMode{testbed.Fast, testbed.Immediate, testbed.Crash}[rng.IntN(3)]); err != nil {
						t.Error(err)
					}
					n.restarts++
				}
			}
			then := disturb
			disturb = func() { time.Sleep(at); then() }
		}
		go func() { defer close(done); disturb() }()
		begun := time.Now()
		r := execute(t, faults("nowhere:1"), limit, args...) // small tables are built as large ones are, and a silent archive counts as dead
		<-done
		switch {
		case r.code == 0:
			if limit == 0 {
				n.takes = time.Since(begun)
			}
			return
		case r.code == 20 && try < 6:
			n.outages++
		case r.code != -1:
			t.Fatalf("try %d: exit code %d\n%s%s", try, r.code, r.out, r.errors)
		default:
			n.kills++
		}
		if between() && r.code == -1 {
			n.amid++
		}
	}
}

// ended reports whether what the source holds from now on is no more of the run's concern.
func ended(t *testing.T, p *testbed.Postgres, dst, dir string, way int) bool {
	t.Helper()
	if way == 1 || way == 3 {
		_, err := os.Stat(filepath.Join(dir, "pgmove", "manifest.json"))
		return err == nil
	}
	there, err := p.Value(t.Context(), dst, "SELECT to_regclass('public.log') IS NOT NULL")
	if err != nil {
		t.Fatal(err)
	}
	return there == "t" && ledger(t, p, dst) == nil
}

func randomChange(rng *rand.Rand) string {
	all := []string{
		fmt.Sprintf("UPDATE log SET line = 'changed %d' WHERE line = 'line %d'", rng.Int(), rng.IntN(9000)),
		"INSERT INTO log SELECT NULL, 'twice' FROM generate_series(1, 300)",
		"DELETE FROM log WHERE line = 'twice' AND ctid IN (SELECT ctid FROM log WHERE line = 'twice' LIMIT 10)",
		fmt.Sprintf("UPDATE customer SET balance = balance + 1 WHERE id = %d", 1+rng.IntN(2000)),
		fmt.Sprintf("INSERT INTO customer (name) VALUES ('new %d')", rng.Int()),
		fmt.Sprintf("DELETE FROM orders WHERE id = %d; REFRESH MATERIALIZED VIEW per_customer", 1+rng.IntN(20000)),
		fmt.Sprintf("UPDATE parts SET k = k + 1 WHERE k = %d", rng.IntN(6000)),
		"SELECT nextval('alone')",
		fmt.Sprintf("SELECT lo_put(4711, %d, 'change')", rng.IntN(100000)),
		"VACUUM ANALYZE log",
	}
	return all[rng.IntN(len(all))]
}
