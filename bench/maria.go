package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pgmove/pgmove/internal/testbed"
)

// This is the bench of MariaDB: two private servers, a mix of tables like PostgreSQL's in small, and the tools that most
// use. It has no floor.

// mariaMix makes the mix at scale 1, about 1 GB without indexes. N in it stands for a number of rows in thousands.
const mariaMix = `
CREATE TABLE events (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, account int NOT NULL, at datetime(3) NOT NULL, kind enum('view','click','buy') NOT NULL, amount decimal(12,2), ratio double, label varchar(60), KEY account (account, at), KEY label (label));
INSERT INTO events SELECT seq, seq * 7919 % 200000, '2026-01-01' + INTERVAL seq SECOND, 1 + seq % 3, seq % 100000 / 100, RAND(seq), CONCAT('label ', MD5(seq)) FROM seq_1_to_<3000>;
CREATE TABLE documents (id int PRIMARY KEY, title varchar(100), body text, KEY title (title));
INSERT INTO documents SELECT seq, MD5(seq), REPEAT(CONCAT(MD5(seq), ' ', SHA1(seq), '\n'), 1 + seq % 25) FROM seq_1_to_<400>;
CREATE TABLE points (series int NOT NULL, n int NOT NULL, v double, w float, PRIMARY KEY (series, n));
INSERT INTO points SELECT seq % 1000, seq DIV 1000, RAND(seq), RAND(seq + 1) FROM seq_1_to_<4000>;
CREATE TABLE accounts (id int PRIMARY KEY, name varchar(80) NOT NULL, made date, UNIQUE KEY name (name));
INSERT INTO accounts SELECT seq, CONCAT('account ', seq), '2020-01-01' + INTERVAL seq % 2000 DAY FROM seq_1_to_<200>;
CREATE TABLE orders (id int PRIMARY KEY, account int NOT NULL, note varchar(200), KEY account (account), CONSTRAINT bought FOREIGN KEY (account) REFERENCES accounts (id));
INSERT INTO orders SELECT seq, 1 + seq % <200>, REPEAT('n', seq % 120) FROM seq_1_to_<1000>;
CREATE TABLE files (id int PRIMARY KEY, content mediumblob);
INSERT INTO files SELECT seq, UNHEX(REPEAT(SHA2(seq, 512), 800)) FROM seq_1_to_<2>;
ANALYZE TABLE events, documents, points, accounts, orders, files`

const mariaDB = "mix"

// mariaWay is a way to move the mix, as a shell's command line.
type mariaWay struct{ name, line string }

func (o *options) mariaWays(pgmove string) []mariaWay {
	run := pgmove + " run --source $SOURCE --target $TARGET --jobs " + strconv.Itoa(o.jobs)
	threads := " --threads=" + strconv.Itoa(o.jobs)
	return []mariaWay{
		{"pgmove, direct, no validation", run + " --validate none"},
		{"pgmove, direct, validated", run},
		{"pgmove, via a directory, validated", run + " --via archive"},
		{"mydumper, myloader", "mydumper --host=127.0.0.1 --port=$SPORT --user=$DBUSER --password=$SPASS --database=" + mariaDB + " --outputdir=md --triggers --events --routines" + threads +
			" && myloader --host=127.0.0.1 --port=$TPORT --user=$DBUSER --password=$TPASS --directory=md" + threads},
		{"mariadb-dump | mariadb", "MYSQL_PWD=$SPASS mariadb-dump --no-defaults -h127.0.0.1 -P$SPORT -u$DBUSER --single-transaction --quick --routines --events " + mariaDB +
			" | MYSQL_PWD=$TPASS mariadb --no-defaults -h127.0.0.1 -P$TPORT -u$DBUSER " + mariaDB},
	}
}

// runMaria measures, and prints a table.
func runMaria(ctx context.Context, o *options) (err error) {
	settings := map[string]string{"innodb-buffer-pool-size": "512M", "innodb-log-file-size": "512M", "innodb-flush-log-at-trx-commit": "1"}
	var servers [2]*testbed.MariaDB
	for i := range servers {
		own := map[string]string{"server-id": strconv.Itoa(i + 1)}
		for k, v := range settings {
			own[k] = v
		}
		if servers[i], err = testbed.StartMariaDB(ctx, testbed.MariaDBOptions{Settings: own}); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, servers[i].Close()) }()
	}
	from, to := servers[0], servers[1]
	dir, err := os.MkdirTemp("", "pgmove-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	pgmove := filepath.Join(dir, "pgmove")
	if len(o.pgmove) > 0 {
		pgmove = strings.Join(o.pgmove[0].argv, " ")
	} else if err := ownProgram(ctx, pgmove); err != nil {
		return err
	}
	if err := from.Exec(ctx, "", "CREATE DATABASE "+mariaDB); err != nil {
		return err
	}
	if err := from.Exec(ctx, mariaDB, scaled(mariaMix, o.scale)); err != nil {
		return err
	}
	size, err := from.Value(ctx, mariaDB, "SELECT ROUND(SUM(DATA_LENGTH) / 1048576) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE()")
	if err != nil {
		return err
	}
	fmt.Printf("MariaDB, the mix at scale %g: %s MiB without indexes, %d jobs, %d rounds\n\n", o.scale, size, o.jobs, o.rounds)
	env := append(os.Environ(), "SOURCE="+from.URL(mariaDB), "TARGET="+to.URL(mariaDB), "DBUSER="+from.User(), "SPASS="+from.Password(), "TPASS="+to.Password(),
		"SPORT="+strconv.Itoa(from.Port()), "TPORT="+strconv.Itoa(to.Port()))
	took := map[string][]time.Duration{}
	var ways []mariaWay
	for _, w := range o.mariaWays(pgmove) {
		if o.only.MatchString(w.name) {
			ways = append(ways, w)
		}
	}
	for round := 1; round <= o.rounds; round++ {
		// Each round begins with another one.
		for i := range ways {
			w := ways[(i+round-1)%len(ways)]
			d, err := mariaMove(ctx, from, to, dir, env, w)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			fmt.Fprintf(os.Stderr, "bench: round %d: %s: %.2f s\n", round, w.name, d.Seconds())
			took[w.name] = append(took[w.name], d)
		}
	}
	best := time.Duration(1<<63 - 1)
	for name, list := range took {
		slices.Sort(list)
		if m := list[len(list)/2]; !strings.HasPrefix(name, "pgmove") && m < best {
			best = m
		}
	}
	for _, w := range ways {
		m := took[w.name][len(took[w.name])/2]
		fmt.Printf("%-36s %7.2f s   %.2f of the faster other\n", w.name, m.Seconds(), m.Seconds()/best.Seconds())
	}
	return nil
}

// mariaMove moves the mix in one way, and compares.
func mariaMove(ctx context.Context, from, to *testbed.MariaDB, dir string, env []string, w mariaWay) (time.Duration, error) {
	if err := to.Exec(ctx, "", "DROP DATABASE IF EXISTS "+mariaDB+"; CREATE DATABASE "+mariaDB); err != nil {
		return 0, err
	}
	for _, m := range []*testbed.MariaDB{from, to} {
		if err := settle(ctx, m); err != nil {
			return 0, err
		}
	}
	work, err := os.MkdirTemp(dir, "work")
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "bash", "-o", "pipefail", "-c", w.line)
	cmd.Dir, cmd.Env = work, env
	start := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("%w\n%s", err, out)
	}
	d, err := testbed.MariaDifference(ctx, from, mariaDB, to, mariaDB, testbed.TrailingBlanks)
	if err == nil && d != "" {
		// FLOATs lose bits in the other tools' text.
		if lines := strings.Split(d, "\n"); strings.HasPrefix(w.name, "pgmove") || len(lines) > 1 || !strings.HasPrefix(d, "table points") {
			err = fmt.Errorf("source and target differ:\n%s", d)
		}
	}
	return took, errors.Join(err, os.RemoveAll(work))
}

// settle has a server write what waits in its memory, so that nobody pays for what others left behind.
func settle(ctx context.Context, m *testbed.MariaDB) error {
	const limit = "innodb_max_dirty_pages_pct"
	was, err := m.Value(ctx, "", "SELECT @@"+limit)
	if err != nil {
		return err
	}
	if err := m.Exec(ctx, "", "SET GLOBAL "+limit+" = 0"); err != nil {
		return err
	}
	for dirty := "?"; dirty != "0" && err == nil; {
		if err = pause(ctx, 100*time.Millisecond); err == nil {
			dirty, err = m.Value(ctx, "", "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'INNODB_BUFFER_POOL_PAGES_DIRTY'")
		}
	}
	return errors.Join(err, m.Exec(context.WithoutCancel(ctx), "", "SET GLOBAL "+limit+" = "+was))
}

// pause waits, no longer than ctx lasts.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// scaled puts numbers of rows into the mix: <3000> is 3000 thousand at scale 1.
func scaled(sql string, scale float64) string {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(sql, "<")
		number, after, closed := strings.Cut(rest, ">")
		n, err := strconv.Atoi(number)
		if !ok || !closed || err != nil {
			b.WriteString(sql)
			return b.String()
		}
		b.WriteString(before + strconv.Itoa(max(int(float64(n)*1000*scale), 1)))
		sql = after
	}
}
