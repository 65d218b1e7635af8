package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
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

// TestRandomKills kills pgmove at random moments, changes the source between while that means anything,
// and resumes until it ends. PGMOVE_SOAK is how many moves, PGMOVE_SEED repeats those of a run.
func TestRandomKills(t *testing.T) {
	seed := number(t, "PGMOVE_SEED", time.Now().UnixNano()%1e9)
	rounds := number(t, "PGMOVE_SOAK", 6)
	p := testbed.Shared(t, 0)
	kills := 0
	for i := range rounds {
		s := seed + i
		ok := t.Run(fmt.Sprint(s), func(t *testing.T) { kills += randomKills(t, p, rand.New(rand.NewPCG(uint64(s), 1)), int(s%3)) })
		if !ok {
			t.Fatalf("to see this again: PGMOVE_SEED=%d PGMOVE_SOAK=1", s)
		}
	}
	t.Logf("%d moves, %d kills, from seed %d", rounds, kills, seed)
	if kills == 0 {
		t.Error("nothing was killed")
	}
}

func randomKills(t *testing.T, p *testbed.Postgres, rng *rand.Rand, mode int) (kills int) {
	src, dst, dir := testbed.Database(t, p), testbed.Database(t, p), filepath.Join(t.TempDir(), "archive")
	testbed.SQL(t, p, src, much)
	args := []string{"run", "--source", p.URL(src), "--target", p.URL(dst)}
	common := []string{"--jobs", fmt.Sprint(1 + rng.IntN(4)), "--resume"}
	dump := []string{"--split-size", fmt.Sprintf("%dkB", 60+rng.IntN(400)), "--compress", "gzip"}
	switch mode {
	case 1:
		dump = append(dump, "--via", dir)
	case 2:
		attempt(t, rng, &kills, nil, append(append([]string{"dump", "--source", p.URL(src), "--to", dir}, dump...), common...)...)
		args, dump = []string{"restore", "--from", dir, "--target", p.URL(dst)}, nil
	}
	attempt(t, rng, &kills, func() {
		if mode == 2 || rng.IntN(2) == 0 || ended(t, p, dst, dir, mode) {
			return
		}
		testbed.SQL(t, p, src, randomChange(rng))
	}, append(append(args, dump...), common...)...)
	testbed.MustBeEqual(t, p, src, p, dst)
	if ledger(t, p, dst) != nil {
		t.Error("the ledger is still there")
	}
	return kills
}

// attempt runs a command, kills it a few times and then lets it end.
func attempt(t *testing.T, rng *rand.Rand, kills *int, between func(), args ...string) {
	t.Helper()
	for try := 0; ; try++ {
		limit := time.Duration(0)
		if try < 6 {
			limit = time.Duration(100+rng.IntN(700)) * time.Millisecond
		}
		r := execute(t, nil, limit, args...)
		switch {
		case r.code == 0:
			return
		case r.code != -1:
			t.Fatalf("after %d kills: exit code %d\n%s%s", *kills, r.code, r.out, r.errors)
		}
		*kills++
		if between != nil {
			between()
		}
	}
}

// ended reports whether what the source holds from now on is no more of the run's concern.
func ended(t *testing.T, p *testbed.Postgres, dst, dir string, mode int) bool {
	if mode == 1 {
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
