package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/pgmove/pgmove/internal/testbed"
)

// birds are the secrets of a test, by what they are.
type birds map[string]string

// search fails the test where a secret stands in a text; but names those that may.
func (b birds) search(t *testing.T, where, text string, but ...string) {
	t.Helper()
next:
	for name, secret := range b {
		for _, n := range but {
			if n == name {
				continue next
			}
		}
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s shows %s: …%.80q", where, name, text[max(0, i-30):])
		}
	}
}

// inSQL are the secrets of the source's own definitions: they are moved, as pg_dump moves them.
var inSQL = []string{"server", "mapping", "subscription"}

// children looks at what every pg_dump of this process's children is started with, until ctx ends, and returns how many there were.
func (b birds) children(ctx context.Context, t *testing.T) (n int) {
	seen := map[string]bool{}
	for ctx.Err() == nil {
		all, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range all {
			if _, err := strconv.Atoi(filepath.Base(dir)); err != nil || seen[dir] {
				continue
			}
			args, err := os.ReadFile(dir + "/cmdline")
			if err != nil || !bytes.HasPrefix(args[max(0, bytes.IndexByte(args, 0)-7):], []byte("pg_dump\x00")) || !bytes.Contains(args, []byte("--snapshot=")) {
				continue
			}
			env, err := os.ReadFile(dir + "/environ")
			if err != nil || !bytes.Contains(env, []byte("PGAPPNAME=pgmove")) {
				continue // on its way to begin or to end
			}
			seen[dir] = true
			b.search(t, "pg_dump's arguments", string(args))
			b.search(t, "pg_dump's environment", string(env))
		}
		time.Sleep(2 * time.Millisecond)
	}
	return len(seen)
}

// activity looks at what the server shows of its sessions.
func (b birds) activity(ctx context.Context, t *testing.T, p *testbed.Postgres) {
	for ctx.Err() == nil {
		rows, err := p.Query(context.WithoutCancel(ctx), "postgres", "SELECT application_name, query FROM pg_stat_activity WHERE application_name <> 'testbed'")
		if err != nil {
			continue
		}
		for _, r := range rows {
			b.search(t, "pg_stat_activity", r[0]+" "+r[1], inSQL...)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestCanaries puts a secret into every place that takes one, runs every subcommand well and badly, and looks for the
// secrets in all that comes out.
func TestCanaries(t *testing.T) {
	t.Parallel()
	p, s3 := testbed.OwnPostgres(t, testbed.PostgresOptions{}), testbed.SharedS3(t)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	b := birds{"the source's password": "CANARY-source:p@ss", "the target's password": "CANARY-target-17", "a wrong password": "CANARY-wrong-3",
		"PGPASSWORD": "CANARY-variable-9", "the key file's password": "CANARY-sslpassword", "the authentication key": "CANARY-mac-key-of-both-sides",
		"the session token": "CANARY-session-token", "the identity": id.String(), "another identity": stranger.String(), "a wrong secret key": "CANARY-wrong-secret-key",
		"a mounted secret": "CANARY-mounted", "a secret of AWS": "CANARY-aws:secret@1",
		"server": "CANARY-server", "mapping": "CANARY-mapping", "subscription": "CANARY-subscription", "a role's password": "CANARY-role"}
	env := []string{}
	for _, kv := range s3.Env() {
		env = append(env, kv)
		if k, v, _ := strings.Cut(kv, "="); strings.Contains(k, "SECRET") {
			b["the secret key"] = v
		}
	}
	testbed.SQL(t, p, "postgres", fmt.Sprintf("CREATE ROLE giver SUPERUSER LOGIN PASSWORD '%s'; CREATE ROLE taker SUPERUSER LOGIN PASSWORD '%s'; CREATE ROLE other LOGIN PASSWORD '%s'",
		b["the source's password"], b["the target's password"], b["a role's password"]))
	if b["a role's hash"], err = p.Value(t.Context(), "postgres", "SELECT rolpassword FROM pg_authid WHERE rolname = 'other'"); err != nil {
		t.Fatal(err)
	}
	src := database(t, p)
	testbed.SQL(t, p, src, shop+fmt.Sprintf(`CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w OPTIONS (password '%s');
		CREATE USER MAPPING FOR other SERVER s OPTIONS (password '%s'); CREATE TABLE own (a int); ALTER TABLE own OWNER TO other`, b["server"], b["mapping"]))
	testbed.SQL(t, p, src, fmt.Sprintf("CREATE SUBSCRIPTION sub CONNECTION 'host=127.0.0.1 port=1 password=%s' PUBLICATION x WITH (connect = false, slot_name = NONE)", b["subscription"]))
	from := p.URLAs("giver", b["the source's password"], src)
	pass := secretFile(t, fmt.Sprintf("127.0.0.1:%d:*:taker:%s\n", p.Port(), b["the target's password"]))
	keeper := secretsManager(t, map[string]string{"source": asRDS(t, p, "giver", b["the source's password"], src), "wrong": asRDS(t, p, "giver", b["a secret of AWS"], src),
		"broken": `{"password":"` + b["a secret of AWS"], "url": "postgres://u:" + b["a secret of AWS"] + "@h:port/x", "other": `{"engine":"oracle","password":"` + b["a secret of AWS"] + `"}`})
	env = append(env, "AWS_ENDPOINT_URL_SECRETS_MANAGER="+keeper, "PGPASSFILE="+pass, "PGMOVE_SOURCE="+from, "AWS_EC2_METADATA_DISABLED=true")
	to := func(db string) string {
		return fmt.Sprintf("postgres://taker@127.0.0.1:%d/%s?sslmode=disable", p.Port(), db)
	}
	mac, identity := secretFile(t, b["the authentication key"]+"\n"), secretFile(t, id.String()+"\n")
	bucket := "s3://" + testbed.Bucket(t, s3) + "/x"
	dir, sealed := t.TempDir()+"/plain", t.TempDir()+"/sealed"
	dst, second, third, fourth := database(t, p), database(t, p), database(t, p), database(t, p)
	report := func(n int) string { return filepath.Join(filepath.Dir(dir), fmt.Sprintf("report%d.json", n)) }
	watching, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	pgDumps := 0
	wg.Go(func() { pgDumps = b.children(watching, t) })
	wg.Go(func() { b.activity(watching, t, p) })
	replaced := func(pairs ...string) []string { return append(append([]string{}, env...), pairs...) }
	for i, c := range []struct {
		code int
		env  []string
		args string
	}{
		{0, env, "run --target " + to(dst) + " --keep-ledger"},
		{0, env, "run --target " + to(second) + " --via " + sealed + " --encrypt-to " + id.Recipient().String() + " --identity " + identity + " --mac-key " + mac},
		{0, env, "dump --to " + dir},
		{0, env, "dump --s3-path-style --to " + bucket},
		{0, env, "restore --s3-path-style --from " + bucket + " --target " + to(third)},
		{0, env, "validate --s3-path-style --archive " + bucket + " --target " + to(third)},
		{0, env, "validate --target " + to(dst)},
		{0, env, "verify --s3-path-style " + bucket},
		{0, env, "inspect --s3-path-style " + bucket},
		{0, env, "verify --identity " + identity + " --mac-key " + mac + " " + sealed},
		{0, env, "inspect --identity " + identity + " --mac-key " + mac + " " + sealed},
		{0, env, "--help"},
		{0, env, "run --help"},
		{12, replaced("PGMOVE_SOURCE=" + p.URLAs("giver", b["a wrong password"], src)), "run --target " + to(fourth)},
		{12, replaced("PGPASSFILE=/nonexistent", "PGPASSWORD="+b["PGPASSWORD"]), "run --target " + to(fourth)},
		{12, replaced("PGMOVE_SOURCE=" + p.URLAs("giver", b["a wrong password"], src)), "snapshot --hold"},
		{20, replaced("PGMOVE_SOURCE=postgres://u:" + b["a wrong password"] + "@127.0.0.1:1/x"), "dump --to " + dir + "2"},
		{3, replaced("PGMOVE_SOURCE=postgres://u:" + b["a wrong password"] + "@127.0.0.1:port/x"), "dump --to " + dir + "3"},
		{3, replaced("PGMOVE_SOURCE=host=h sslkey=/no/key sslcert=/no/cert sslmode=require sslpassword=" + b["the key file's password"]), "dump --to " + dir + "4"},
		{10, env, "run --target " + to(dst)},
		{0, replaced("PGMOVE_SOURCE="), "validate --source aws-secret://source --target " + to(dst)},
		{12, replaced("PGMOVE_SOURCE=aws-secret://wrong"), "run --target " + to(fourth)},
		{10, replaced("PGMOVE_SOURCE=aws-secret://broken"), "run --target " + to(fourth)},
		{10, replaced("PGMOVE_SOURCE=aws-secret://other"), "run --target " + to(fourth)},
		{3, replaced("PGMOVE_SOURCE=aws-secret://url"), "run --target " + to(fourth)},
		{3, replaced("PGMOVE_SOURCE="), "run --source-file " + secretFile(t, "postgres://u:"+b["a mounted secret"]+"@h:port/x") + " --target " + to(fourth)},
		{12, replaced("PGMOVE_SOURCE=", "PGMOVE_SOURCE_FILE="+secretFile(t, asRDS(t, p, "giver", b["a mounted secret"], src))), "run --target " + to(fourth)},
		{0, env, "man"},
		{0, env, "completion bash"},
		{12, replaced("AWS_SECRET_ACCESS_KEY=" + b["a wrong secret key"]), "verify --s3-path-style " + bucket},
		{12, replaced("AWS_SESSION_TOKEN="+b["the session token"], "AWS_SECRET_ACCESS_KEY="+b["a wrong secret key"]), "dump --s3-path-style --to " + bucket + "2"},
		{31, env, "verify --identity " + identity + " --mac-key " + secretFile(t, b["the session token"]) + " " + sealed},
		{12, env, "verify --identity " + secretFile(t, stranger.String()) + " " + sealed},
		{3, env, "verify --identity " + mac + " " + sealed},
		{31, env, "verify --mac-key " + mac + " " + dir},
		{30, env, "validate --archive " + dir + " --target " + to(dst)},
		{3, env, "run --frobnicate"},
	} {
		if c.code == 30 {
			testbed.SQL(t, p, dst, "DELETE FROM log")
		}
		args := strings.Fields(c.args)
		if n := len(args); args[0] == "run" && n > 2 && args[1] != "--frobnicate" || args[0] == "dump" || args[0] == "restore" || args[0] == "validate" {
			args = append(args, "--report", report(i))
		}
		r := execute(t, c.env, 0, args...)
		if r.code != c.code {
			t.Errorf("pgmove %s: exit code %d, want %d\n%s%s", c.args, r.code, c.code, r.out, r.errors)
		}
		b.search(t, "pgmove "+c.args, r.out+r.errors)
		if text, err := os.ReadFile(report(i)); err == nil {
			b.search(t, "the report of pgmove "+c.args, string(text))
		}
	}
	b.signals(t, env)
	stop()
	wg.Wait()
	if pgDumps < 3 {
		t.Errorf("only %d pg_dumps were seen", pgDumps)
	}
	for key, body := range files(t, dir) {
		if key == "pgmove/entries.json" || key == "toc.dat" {
			b.search(t, key, string(body), inSQL...)
			if !bytes.Contains(body, []byte(b["mapping"])) {
				t.Errorf("%s lacks the user mapping's password, which belongs there", key)
			}
			continue
		}
		b.search(t, key, string(body))
	}
	for key, body := range files(t, sealed) {
		b.search(t, key, string(body))
	}
	b.ledger(t, p, dst)
}

// ledger looks through a ledger that was kept.
func (b birds) ledger(t *testing.T, p *testbed.Postgres, db string) {
	t.Helper()
	rows, err := p.Query(t.Context(), db, "SELECT r::text FROM pgmove.run r UNION ALL SELECT t::text FROM pgmove.taken t UNION ALL SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = 'pgmove'")
	if err != nil || len(rows) < 3 {
		t.Fatalf("the ledger: %d rows, %v", len(rows), err)
	}
	packed := regexp.MustCompile(`\\x([0-9a-f]+)`)
	for _, r := range rows {
		b.search(t, "the ledger", r[0])
		for _, m := range packed.FindAllStringSubmatch(r[0], -1) {
			text, err := hex.DecodeString(m[1])
			if err != nil {
				t.Fatal(err)
			}
			b.search(t, "the ledger", string(text))
		}
	}
}

// signals ends processes that hold a session: in order, and by what makes the runtime print all its stacks and dump core.
func (b birds) signals(t *testing.T, env []string) {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT} {
		var errs bytes.Buffer
		cmd := exec.Command("sh", "-c", `ulimit -c unlimited; exec "$0" snapshot --hold`, file)
		cmd.Dir, cmd.Env = t.TempDir(), append(append(os.Environ(), env...), "GOTRACEBACK=crash")
		cmd.Stderr = &errs
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line := make([]byte, 100)
		if _, err := out.Read(line); err != nil {
			t.Fatalf("%v: %s", err, errs.String())
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		err = cmd.Wait()
		b.search(t, "what "+sig.String()+" left", errs.String())
		if (sig == syscall.SIGQUIT || sig == syscall.SIGABRT) && !strings.Contains(errs.String(), "goroutine ") {
			t.Errorf("%s printed no stacks: %v %s", sig, err, errs.String())
		}
		if left, err := os.ReadDir(cmd.Dir); err != nil || len(left) > 0 {
			t.Errorf("%s left a core file: %v %v", sig, left, err)
		}
	}
}
