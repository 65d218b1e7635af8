package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgmove/pgmove/dump/mysource"
	"github.com/pgmove/pgmove/dump/pgsource"
	"github.com/pgmove/pgmove/internal/testbed"
	"github.com/pgmove/pgmove/restore/mytarget"
	"github.com/pgmove/pgmove/restore/pgtarget"
	"github.com/pgmove/pgmove/stream"
)

// provoked are the findings that tests made appear, by the engine that was asked and their ids.
var provoked sync.Map

// askedEngine names the engine that arguments are of.
func askedEngine(args []string) string {
	if slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "mysql://") }) {
		return mysource.Engine
	}
	return "postgresql"
}

// check runs pgmove check and returns its findings by their ids. It fails the test unless those are there, and each with the severity
// that it is to have.
func check(t *testing.T, code int, args []string, want ...string) map[string]stream.Finding {
	t.Helper()
	got, out, errs := pgmove(t, append([]string{"check", "--format", "json"}, args...)...)
	if got != code {
		t.Fatalf("pgmove check %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), got, code, out, errs)
	}
	var res struct {
		Findings []stream.Finding
		ExitCode int `json:"exit_code"`
	}
	if err := json.Unmarshal([]byte(out), &res); err != nil || res.ExitCode != code {
		t.Fatalf("exit_code %d, %v\n%s", res.ExitCode, err, out)
	}
	found := map[string]stream.Finding{}
	for _, f := range res.Findings {
		if f.Severity != severitiesOf(askedEngine(args))[f.ID] || f.Msg == "" || f.Object == "" || f.Hint == "" {
			t.Errorf("not a whole finding: %+v", f)
		}
		found[f.ID] = f
		provoked.Store(askedEngine(args)+" "+f.ID, true)
	}
	for _, id := range want {
		if _, ok := found[id]; !ok {
			t.Errorf("%s was not found:\n%s", id, out)
		}
	}
	if strings.Contains(out+errs, canary) {
		t.Error("the output shows a password")
	}
	return found
}

// severitiesOf are the findings that an engine's databases may have.
func severitiesOf(engine string) map[string]stream.Severity {
	all := map[string]stream.Severity{}
	lists := []map[string]stream.Severity{pgsource.Severities, pgtarget.Severities, ownSeverities}
	if engine == mysource.Engine {
		lists = []map[string]stream.Severity{mysource.Severities, mytarget.Severities, {"clock-differs": ownSeverities["clock-differs"]}}
	}
	for _, m := range lists {
		maps.Copy(all, m)
	}
	return all
}

// mustBeProvoked fails the test unless tests provoked each finding of the engine, and docs/check.md has them all and no others.
func mustBeProvoked(t *testing.T, engine string) {
	t.Helper()
	b, err := os.ReadFile("../../docs/check.md")
	if err != nil {
		t.Fatal(err)
	}
	pg, my, ok := strings.Cut(string(b), "\n## Findings of MySQL and MariaDB\n")
	if !ok {
		t.Fatal("docs/check.md has no findings of MySQL and MariaDB")
	}
	text := map[string]string{"postgresql": pg, mysource.Engine: my}[engine]
	doc := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z0-9-]+)` \\| (block|warn|note) \\|").FindAllStringSubmatch(text, -1) {
		doc[m[1]] = m[2]
	}
	for id, s := range severitiesOf(engine) {
		if _, ok := provoked.Load(engine + " " + id); !ok {
			t.Errorf("no test provokes %s", id)
		}
		if doc[id] != string(s) {
			t.Errorf("docs/check.md says %q of %s, which is %s", doc[id], id, s)
		}
		delete(doc, id)
	}
	for id := range doc {
		t.Errorf("docs/check.md has %s, which there is not", id)
	}
}

// blocking lists the ids of what blocks.
func blocking(found map[string]stream.Finding) string {
	var ids []string
	for id, f := range found {
		if f.Severity == stream.Block {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}

// TestCheckFindings provokes every finding that there is, and compares them with docs/check.md.
func TestCheckFindings(t *testing.T) {
	p := testbed.Shared(t, 0)
	clockSlack = -1
	db := testbed.Database(t, p)
	check(t, 0, []string{"--source", p.URL(db), "--target", p.URL(testbed.Database(t, p))}, "clock-differs")
	clockSlack = 5 * time.Second
	s3 := testbed.SharedS3(t)
	for _, kv := range s3.Env() {
		k, v, _ := strings.Cut(kv, "=")
		t.Setenv(k, v)
	}
	t.Run("all", func(t *testing.T) {
		for _, c := range []struct {
			name string
			f    func(*testing.T)
		}{{"privileges", checkPrivileges}, {"objects", checkObjects}, {"activity", checkActivity}, {"tools", checkTools}, {"target", checkTarget},
			{"roles", checkRoles}, {"poor server", checkPoorServer}, {"pooler", checkPooler}, {"old server", checkOldServer}, {"via", checkVia}, {"reach", checkReach}} {
			t.Run(c.name, func(t *testing.T) { c.f(t) })
		}
	})
	if !t.Failed() {
		mustBeProvoked(t, "postgresql")
	}
}

// limited makes a role that may do little.
func limited(t *testing.T, p *testbed.Postgres, name, attributes string) string {
	t.Helper()
	name += fmt.Sprint("_", time.Now().UnixNano())
	testbed.SQL(t, p, "postgres", "CREATE ROLE "+name+" LOGIN PASSWORD '"+canary+"' "+attributes)
	t.Cleanup(func() {
		if err := p.Exec(context.Background(), "postgres", "DROP ROLE "+name); err != nil {
			t.Error(err)
		}
	})
	return name
}

func checkPrivileges(t *testing.T) {
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	role := limited(t, p, "poor", "CONNECTION LIMIT 3")
	testbed.SQL(t, p, src, `CREATE SCHEMA closed; CREATE TABLE closed.t (a serial PRIMARY KEY); CREATE TABLE denied (a int PRIMARY KEY); CREATE SEQUENCE counted;
		CREATE TABLE hidden (a int PRIMARY KEY); GRANT SELECT ON hidden TO `+role+`; ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; SELECT lo_create(4711); CREATE SCHEMA pgmove`)
	found := check(t, 10, []string{"--source", p.URLAs(role, canary, src), "--jobs", "4"}, "tables-unreadable", "schemas-unusable", "sequences-unreadable", "row-security", "large-objects-unreadable",
		"ledger-schema", "source-connections")
	for id, want := range map[string]string{"tables-unreadable": "public.denied", "schemas-unusable": "closed", "sequences-unreadable": "public.counted", "row-security": "public.hidden",
		"large-objects-unreadable": "4711"} {
		wantText(t, found[id].Msg, want, role)
	}
	// A run tells all of them too, before it touches the target, and with the code for privileges.
	testbed.SQL(t, p, src, "DROP SCHEMA pgmove")
	dst := testbed.Database(t, p)
	run := []string{"run", "--source", p.URLAs(role, canary, src), "--target", p.URL(dst), "--jobs", "1"}
	wantText(t, mustExit(t, 12, run...), "5 findings", "public.denied", "closed", "public.counted", "public.hidden", "4711", "pg_read_all_data")
	wantText(t, mustExit(t, 12, append(run, "--no-check")...), "4711")
	untouched(t, p, dst)
	testbed.SQL(t, p, dst, "CREATE TABLE here (a int)")
	wantText(t, mustExit(t, 10, run...), "6 findings", "public.here", "row-security")
	testbed.SQL(t, p, src, "DROP TABLE hidden; SELECT lo_unlink(4711); DROP OWNED BY "+role)
}

func checkObjects(t *testing.T) {
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, `CREATE TABLE bare (a int); CREATE TABLE keyed (a int PRIMARY KEY); CREATE UNLOGGED TABLE light (a int PRIMARY KEY, b int GENERATED ALWAYS AS (a + 1) STORED);
		CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE FOREIGN TABLE far (a int) SERVER s; SELECT lo_create(1);
		CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'; CREATE EVENT TRIGGER watcher ON ddl_command_end EXECUTE FUNCTION e();
		CREATE PUBLICATION everything FOR ALL TABLES`)
	found := check(t, 0, []string{"--source", p.URL(src)}, "tables-without-key", "unlogged-tables", "foreign-tables", "generated-columns", "large-objects", "database-size")
	wantText(t, found["tables-without-key"].Msg, "(1)", "public.bare")
	role := limited(t, p, "builder", "")
	other := limited(t, p, "other", "")
	testbed.SQL(t, p, src, "ALTER TABLE bare OWNER TO "+other)
	dst := testbed.DatabaseWith(t, p, "OWNER "+role)
	found = check(t, 10, []string{"--source", p.URL(src), "--target", p.URLAs(role, canary, dst)}, "needs-superuser", "roles-not-member")
	wantText(t, found["needs-superuser"].Msg, "event trigger watcher", "publication everything")
	wantText(t, found["public-schema-closed"].Msg, other)
	testbed.SQL(t, p, src, "ALTER TABLE bare OWNER TO postgres")
	found = check(t, 0, []string{"--source", p.URL(src), "--target", p.URLAs(role, canary, dst), "--no-owner", "--no-acl"})
	if blocking(found) != "" {
		t.Errorf("with --no-owner %s block", blocking(found))
	}
	testbed.SQL(t, p, "postgres", "ALTER DATABASE "+dst+" OWNER TO postgres")
	out := mustExit(t, 0, "check", "--source", p.URL(src))
	wantText(t, out, "note   source  tables-without-key", "public.bare", "block 0, warn 0, note")
}

func checkActivity(t *testing.T) {
	p := testbed.Shared(t, 0)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, "CREATE TABLE busy (a int PRIMARY KEY)")
	testbed.SQL(t, p, src, "SELECT pg_create_logical_replication_slot('slot_of_"+src+"', 'pgoutput')")
	testbed.SQL(t, p, "postgres", "ALTER DATABASE "+src+" SET statement_timeout = '3min'; ALTER DATABASE "+src+" SET lock_timeout = '2s'")
	c := connect(t, p.URL(src))
	if err := c.Exec(t.Context(), "BEGIN; LOCK TABLE busy IN ACCESS EXCLUSIVE MODE").Close(); err != nil {
		t.Fatal(err)
	}
	found := check(t, 0, []string{"--source", p.URL(src)}, "exclusive-locks", "logical-slots", "source-timeouts")
	wantText(t, found["exclusive-locks"].Msg, "busy")
	wantText(t, found["source-timeouts"].Msg, "statement_timeout", "lock_timeout")
	if err := c.Exec(t.Context(), "ROLLBACK; DROP TABLE busy; SELECT pg_advisory_lock(hashtext('pgmove'), hashtext('ledger'))").Close(); err != nil {
		t.Fatal(err)
	}
	check(t, 10, []string{"--target", p.URL(src)}, "target-busy", "target-timeouts")
}

// checkTools has no pg_dump, and one that is older than the server.
func checkTools(t *testing.T) {
	p := testbed.Shared(t, 0)
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	check(t, 10, []string{"--source", p.URL(src), "--target", p.URL(dst), "--pg-bin", t.TempDir()}, "pg-dump-missing", "pg-dump-for-target")
	found := check(t, 10, []string{"--source", p.URL(src), "--target", p.URL(dst), "--pg-bin", t.TempDir(), "--no-schema-check"}, "pg-dump-missing")
	if blocking(found) != "pg-dump-missing" {
		t.Errorf("%s block", blocking(found))
	}
	stale := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho 'pg_dump (PostgreSQL) %d.0'\n", p.Major())
	if err := os.WriteFile(filepath.Join(stale, "pg_dump"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	check(t, 0, []string{"--source", p.URL(src), "--pg-bin", stale}, "pg-dump-stale")
}

func checkTarget(t *testing.T) {
	p, older := testbed.Shared(t, 0), testbed.Shared(t, 13)
	src := testbed.Database(t, p)
	testbed.SQL(t, p, src, `CREATE EXTENSION citext; CREATE EXTENSION hstore; UPDATE pg_extension SET extname = 'no_such_thing' WHERE extname = 'citext';
		UPDATE pg_extension SET extversion = '99.1' WHERE extname = 'hstore'`)
	full := testbed.DatabaseWith(t, older, "TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
	testbed.SQL(t, older, full, "CREATE TABLE here (a int)")
	found := check(t, 10, []string{"--source", p.URL(src), "--target", older.URL(full)}, "target-not-empty", "extensions-missing", "extension-older", "older-target", "encoding-narrower",
		"collation-differs", "durability-off", "slow-wal-level", "slow-max-wal-size", "slow-maintenance-work")
	if got := blocking(found); got != "extensions-missing target-not-empty" {
		t.Errorf("%s block", got)
	}
	wantText(t, mustExit(t, 10, "run", "--source", p.URL(src), "--target", older.URL(full)), "no_such_thing", "public.here", "2 findings")
	// As owner of nothing.
	role := limited(t, p, "nobody", "")
	dst := testbed.Database(t, p)
	check(t, 10, []string{"--target", p.URLAs(role, canary, dst)}, "target-no-create")
	far := testbed.DatabaseWith(t, p, "TEMPLATE template0 ENCODING 'EUC_JP' LOCALE 'C'")
	check(t, 10, []string{"--source", p.URL(far), "--target", older.URL(full)}, "encoding-impossible")
}

func checkRoles(t *testing.T) {
	p, older := testbed.Shared(t, 0), testbed.Shared(t, 13)
	src := testbed.Database(t, p)
	owner := limited(t, p, "owner", "")
	testbed.SQL(t, p, src, "CREATE TABLE owned (a int PRIMARY KEY); ALTER TABLE owned OWNER TO "+owner)
	dst := testbed.Database(t, older)
	sides := []string{"--source", p.URL(src), "--target", older.URL(dst)}
	found := check(t, 10, sides, "roles-missing")
	wantText(t, found["roles-missing"].Msg+found["roles-missing"].Hint, owner, "--roles missing")
	check(t, 0, append(sides, "--roles", "missing"), "roles-to-create")
	check(t, 0, append(sides, "--no-owner"))
	plain := limited(t, older, "plain", "")
	testbed.SQL(t, older, "postgres", "ALTER DATABASE "+dst+" OWNER TO "+plain)
	check(t, 10, []string{"--source", p.URL(src), "--target", older.URLAs(plain, canary, dst), "--roles", "missing"}, "roles-not-creatable")
	testbed.SQL(t, older, "postgres", "ALTER DATABASE "+dst+" OWNER TO postgres")
	testbed.SQL(t, p, src, "DROP OWNED BY "+owner)
}

// checkPoorServer has few locks and no autovacuum; then it becomes a standby.
func checkPoorServer(t *testing.T) {
	p := testbed.OwnPostgres(t, testbed.PostgresOptions{Settings: map[string]string{"autovacuum": "off", "max_locks_per_transaction": "10", "max_connections": "10",
		"max_prepared_transactions": "1", "allow_in_place_tablespaces": "on"}})
	src, dst := testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, "DO $$ BEGIN FOR i IN 1..70 LOOP EXECUTE 'CREATE TABLE t' || i || ' (a int PRIMARY KEY)'; END LOOP; END $$")
	testbed.SQL(t, p, src, "DO $$ BEGIN FOR i IN 71..140 LOOP EXECUTE 'CREATE TABLE t' || i || ' (a int PRIMARY KEY)'; END LOOP; END $$")
	testbed.SQL(t, p, src, "BEGIN; INSERT INTO t1 VALUES (1); PREPARE TRANSACTION 'forgotten'")
	check(t, 0, []string{"--source", p.URL(src), "--target", p.URL(dst), "--jobs", "4"}, "source-locks", "target-locks", "target-connections", "autovacuum-off", "prepared-transactions")
	testbed.SQL(t, p, src, "ROLLBACK PREPARED 'forgotten'")
	for _, sql := range []string{"CREATE TABLESPACE fast LOCATION ''", "CREATE TABLE placed (a int PRIMARY KEY) TABLESPACE fast"} {
		testbed.SQL(t, p, src, sql)
	}
	found := check(t, 10, []string{"--source", p.URL(src), "--target", testbed.Shared(t, 0).URL(testbed.Database(t, testbed.Shared(t, 0)))}, "tablespaces-missing")
	wantText(t, found["tablespaces-missing"].Msg, "fast")
	dir := p.DataDir()
	if err := p.Stop(t.Context(), testbed.Fast); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o644); err != nil { //nolint:gosec // the server reads it
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	check(t, 10, []string{"--source", p.URL(src), "--target", p.URL(dst)}, "source-standby", "target-standby")
	// The databases can't be dropped there.
	if err := p.Stop(t.Context(), testbed.Immediate); err != nil {
		t.Fatal(err)
	}
}

// checkOldServer asks a server whose version is made out to be an older one.
func checkOldServer(t *testing.T) {
	p := testbed.Shared(t, 0)
	num, err := p.Value(t.Context(), "postgres", "SHOW server_version_num")
	if err != nil {
		t.Fatal(err)
	}
	check(t, 10, []string{"--source", altered(t, p.URL(testbed.Database(t, p)), num, "090624")}, "source-too-old")
}

// altered returns the URL by which a server is reached through a proxy that exchanges words in what the server says, each for one as long.
func altered(t *testing.T, server string, oldnew ...string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	host, words := u.Host, strings.NewReplacer(oldnew...)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				s, err := net.Dial("tcp", host) //nolint:noctx // it ends with the server
				if err != nil {
					return
				}
				defer func() { _ = s.Close() }()
				go func() { _, _ = io.Copy(s, c) }()
				buf := make([]byte, 1<<16)
				for {
					n, err := s.Read(buf)
					if _, werr := io.WriteString(c, words.Replace(string(buf[:n]))); err != nil || werr != nil {
						return
					}
				}
			}()
		}
	}()
	u.Host = l.Addr().String()
	return u.String()
}

// denying is an S3 server that refuses some requests.
func denying(t *testing.T, s3 *testbed.S3, refused func(*http.Request) bool) string {
	t.Helper()
	return before(t, s3, refused, nil)
}

// before is an address of the S3 server at which some requests are refused, and answers changed.
func before(t *testing.T, s3 *testbed.S3, refused func(*http.Request) bool, change func(*http.Response) error) string {
	t.Helper()
	u, err := url.Parse(s3.Endpoint())
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(u)
		r.Out.Host = r.In.Host // it is signed
	}, ModifyResponse: change}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refused(r) {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
			return
		}
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return "http://" + l.Addr().String()
}

func checkVia(t *testing.T) {
	s3 := testbed.SharedS3(t)
	bucket := testbed.Bucket(t, s3)
	via := []string{"--via", "s3://" + bucket + "/some/prefix", "--s3-path-style"}
	check(t, 0, via)
	files := func(dir string) (n int) {
		_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				n++
			}
			return nil
		})
		return n
	}
	if n := files(s3.BucketDir(bucket)); n > 0 {
		t.Errorf("%d files were left in the bucket", n)
	}
	for _, c := range []struct {
		id      string
		refused func(*http.Request) bool
	}{
		{"via-denied", func(r *http.Request) bool { return r.Method == http.MethodPut && r.URL.Query().Get("uploadId") == "" }},
		{"via-upload-denied", func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploads") }},
		{"via-upload-denied", func(r *http.Request) bool {
			return r.Method == http.MethodDelete && r.URL.Query().Has("uploadId")
		}},
		{"via-delete-denied", func(r *http.Request) bool {
			return r.Method == http.MethodDelete && !r.URL.Query().Has("uploadId")
		}},
	} {
		found := check(t, 10, append(via, "--s3-endpoint", denying(t, s3, c.refused)), c.id)
		if blocking(found) != c.id {
			t.Errorf("%s block, not %s", blocking(found), c.id)
		}
		bucket = testbed.Bucket(t, s3)
		via[1] = "s3://" + bucket + "/some/prefix"
	}
	late := before(t, s3, func(*http.Request) bool { return false }, func(r *http.Response) error {
		r.Header.Set("Date", time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))
		return nil
	})
	if f := check(t, 0, append(via, "--s3-endpoint", late), "clock-differs")["clock-differs"]; f.Side != "via" || !strings.Contains(f.Msg, "-1m") {
		t.Errorf("the clock's finding: %+v", f)
	}
	check(t, 10, []string{"--via", "s3://no-such-bucket/x", "--s3-path-style"}, "via-unreachable")
	dir := t.TempDir()
	check(t, 0, []string{"--via", dir + "/a/b/c"})
	if l, err := os.ReadDir(dir); err != nil || len(l) > 0 {
		t.Errorf("%d folders were left (%v)", len(l), err)
	}
	if err := os.WriteFile(filepath.Join(dir, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, 10, []string{"--via", dir}, "via-not-empty")
	if n := files(dir); n != 1 {
		t.Errorf("%d files in the folder", n)
	}
}

// checkReach has sides that can't be asked: what is known of the other is told all the same.
func checkReach(t *testing.T) {
	p := testbed.Shared(t, 0)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "postgres://u:" + canary + "@" + nobody.Addr().String() + "/x"
	_ = nobody.Close()
	db := testbed.Database(t, p)
	check(t, 20, []string{"--source", p.URL(db), "--target", closed}, "target-unreachable", "database-size")
	check(t, 20, []string{"--source", closed, "--target", p.URL(db)}, "source-unreachable", "slow-wal-level")
	check(t, 12, []string{"--source", p.URLAs("postgres", canary, db), "--target", p.URL(db)}, "source-unreachable", "slow-wal-level")
	check(t, 10, []string{"--source", p.URL("no_such_database")}, "source-unreachable")
	mustExit(t, 3, "check")
	wantText(t, mustExit(t, 3, "check", "--source", p.URL(db), "--target", "mysql://u@localhost/x"), "PostgreSQL cannot be moved to MySQL or MariaDB")
	wantText(t, mustExit(t, 3, "check", "--source", "mysql://u@localhost/x", "--target", p.URL(db)), "MySQL or MariaDB cannot be moved to PostgreSQL")
	mustExit(t, 3, "check", "--source", p.URL(db), "--format", "xml")
	mustExit(t, 3, "check", "--source", p.URL(db), "--roles", "all")
}
