package main

import (
	"context"
	"encoding/asn1"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pgmove/pgmove/internal/awsauth"
	"github.com/pgmove/pgmove/internal/testbed"
)

// secretsManager is a Secrets Manager that holds some secrets.
func secretsManager(t *testing.T, secrets map[string]string) (url string) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct{ SecretId string }
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || secrets[in.SecretId] == "" {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"__type":"ResourceNotFoundException","message":"Secrets Manager can't find the specified secret."}`)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"Name": in.SecretId, "SecretString": secrets[in.SecretId]})
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// asRDS is the secret that RDS keeps for a database.
func asRDS(t *testing.T, p *testbed.Postgres, user, password, db string) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"username": user, "password": password, "engine": "postgres", "host": "127.0.0.1", "port": p.Port(), "dbname": db})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestSecrets: a connection string comes from a secret of AWS, from a mounted file, or from a variable that names one.
func TestSecrets(t *testing.T) {
	p, src, dst := shopDatabases(t)
	t.Setenv("AWS_ENDPOINT_URL_SECRETS_MANAGER", secretsManager(t, map[string]string{"app/source": asRDS(t, p, "postgres", p.Password(), src),
		"app/target": p.URL(dst), "master": fmt.Sprintf(`{"username":"postgres","password":%q}`, p.Password()), "my": "mysql://u:p@h/x"}))
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "eu-central-1", "AWS_PROFILE": "", "AWS_ENDPOINT_URL": ""} {
		t.Setenv(k, v)
	}
	mustExit(t, 0, "run", "--source", "aws-secret://app/source?sslmode=disable", "--target", "aws-secret://app/target")
	testbed.MustBeEqual(t, p, src, p, dst)

	file := secretFile(t, asRDS(t, p, "postgres", p.Password(), src)+"\n")
	reference := secretFile(t, fmt.Sprintf("aws-secret://master?host=127.0.0.1&port=%d&dbname=%s\n", p.Port(), dst))
	wantText(t, mustExit(t, 0, "validate", "--source-file", file, "--target-file", reference), "public.orders", "20000", "equal")

	t.Setenv("PGMOVE_SOURCE_FILE", secretFile(t, "host=127.0.0.1 port="+strconv.Itoa(p.Port())+" user=postgres password="+p.Password()+" dbname="+src))
	t.Setenv("PGMOVE_TARGET", p.URL(dst))
	wantText(t, mustExit(t, 0, "validate", "--validate", "count"), "public.orders", "20000", "counted")

	for _, c := range []struct {
		code int
		want string
		args []string
	}{
		{3, "give one of --source and --source-file", []string{"--source", p.URL(src)}},
		{3, "--source-file: open /nonexistent", []string{"--source-file", "/nonexistent"}},
		{3, "the file is empty", []string{"--source-file", secretFile(t, " \n")}},
		{10, "the secret has no username", []string{"--source-file", secretFile(t, `{"url":"x"}`)}},
		{10, "no such secret in this region", []string{"--source-file", secretFile(t, "aws-secret://nowhere")}},
		{3, "only PostgreSQL's logins by IAM", []string{"--source-file", secretFile(t, "aws-secret://my"), "--source-auth", "rds-iam"}},
		{3, "--source-auth \"ident\"", []string{"--source-auth", "ident"}},
		{3, "needs TLS", []string{"--source-auth", "rds-iam"}},
	} {
		wantText(t, mustExit(t, c.code, append([]string{"run"}, c.args...)...), c.want)
	}
}

// door is an LDAP server, such as PostgreSQL asks whether a password is right. It lets each password in once, as if
// it expired at once, and only those that were made for it.
type door struct {
	net.Listener
	mu     sync.Mutex
	made   map[string]bool // true: not used yet
	opened int
	turned []string // what was turned away
}

func newDoor(t *testing.T) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{Listener: l, made: map[string]bool{}}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go d.answer(c)
		}
	}()
	return d
}

// answer answers the one request that matters, a simple bind.
func (d *door) answer(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	var got []byte
	for {
		b := make([]byte, 8192)
		n, err := c.Read(b)
		if err != nil {
			return
		}
		got = append(got, b[:n]...)
		var message struct {
			ID   int
			Bind asn1.RawValue
		}
		if rest, err := asn1.Unmarshal(got, &message); err != nil {
			continue // not all is here yet
		} else if got = rest; message.Bind.Tag != 0 || message.Bind.Class != asn1.ClassApplication {
			return // unbind
		}
		var version int
		rest, err := asn1.Unmarshal(message.Bind.Bytes, &version)
		if err != nil {
			return
		}
		var name, password asn1.RawValue
		if rest, err = asn1.Unmarshal(rest, &name); err != nil {
			return
		}
		if _, err = asn1.Unmarshal(rest, &password); err != nil {
			return
		}
		result := byte(49) // invalid credentials
		if d.let(string(name.Bytes), string(password.Bytes)) {
			result = 0
		}
		if _, err := c.Write([]byte{0x30, 0x0c, 0x02, 0x01, byte(message.ID), 0x61, 0x07, 0x0a, 0x01, result, 0x04, 0x00, 0x04, 0x00}); err != nil {
			return
		}
	}
}

func (d *door) let(name, password string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if name != "cn=iam" || !d.made[password] {
		d.turned = append(d.turned, name+" "+password)
		return false
	}
	d.made[password] = false
	d.opened++
	return true
}

// token makes a token as AWS has it made, and one that nobody else has.
func (d *door) token(tokens *awsauth.Tokens) func(context.Context, string, uint16, string) (string, error) {
	return func(ctx context.Context, host string, port uint16, user string) (string, error) {
		s, err := tokens.Token(ctx, host, port, user)
		d.mu.Lock()
		defer d.mu.Unlock()
		s += "&n=" + strconv.Itoa(len(d.made))
		d.made[s] = true
		return s, err
	}
}

// TestIAM: with --source-auth and --target-auth rds-iam, every connection, pg_dump's too, logs in with a token of its own.
func TestIAM(t *testing.T) {
	ca, d := newAuthority(t, "ca"), newDoor(t)
	p := encrypted(t, ca)
	hba := filepath.Join(p.DataDir(), "pg_hba.conf")
	b, err := os.ReadFile(hba)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(d.Addr().String())
	line := "hostssl all iam 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport=" + port + " ldapprefix=\"cn=\"\n"
	if err := os.WriteFile(hba, slices.Concat([]byte(line), b), 0o600); err != nil {
		t.Fatal(err)
	}
	testbed.SQL(t, p, "postgres", "CREATE ROLE iam SUPERUSER LOGIN")
	testbed.SQL(t, p, "postgres", "SELECT pg_reload_conf()")
	src, dst, other := testbed.Database(t, p), testbed.Database(t, p), testbed.Database(t, p)
	testbed.SQL(t, p, src, shop)
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "CANARY-key", "AWS_REGION": "eu-central-1", "AWS_PROFILE": "", "PGPASSWORD": "not-this-one"} {
		t.Setenv(k, v)
	}
	before := mint
	t.Cleanup(func() { mint = before })
	mint = d.token(new(awsauth.Tokens))
	url := func(db string) string {
		return fmt.Sprintf("postgres://iam@localhost:%d/%s?sslmode=verify-full&sslrootcert=%s", p.Port(), db, ca.file)
	}
	secrets := birds{"a token": "X-Amz-", "the secret key": "CANARY-key", "another password": "not-this-one"}
	watching, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	pgDumps := 0
	wg.Go(func() { pgDumps = secrets.children(watching, t) })
	report := filepath.Join(t.TempDir(), "report.json")
	out := mustExit(t, 0, "run", "--source", url(src), "--target", url(dst), "--source-auth", "rds-iam", "--target-auth", "rds-iam", "--report", report)
	stop()
	wg.Wait()
	testbed.MustBeEqual(t, p, src, p, dst)
	text, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	secrets.search(t, "the report", string(text))
	if d.opened < 6 || len(d.turned) > 0 || pgDumps == 0 {
		t.Errorf("%d logins, %d pg_dumps, turned away: %q", d.opened, pgDumps, d.turned)
	}
	for token := range d.made {
		if !strings.HasPrefix(token, fmt.Sprintf("localhost:%d/?", p.Port())) && !strings.HasPrefix(token, fmt.Sprintf("localhost:%d?", p.Port())) {
			t.Errorf("a token for another host: %s", token)
		}
		if !strings.Contains(token, "DBUser=iam") || !strings.Contains(token, "rds-db") {
			t.Errorf("not a token for the user: %s", token)
		}
	}

	// A token that was used before, and one that can't be made.
	used := slices.Collect(func(yield func(string) bool) {
		for s := range d.made {
			if !yield(s) {
				return
			}
		}
	})[0]
	mint = func(context.Context, string, uint16, string) (string, error) { return used, nil }
	out += mustExit(t, 12, "run", "--source", url(src), "--target", url(other), "--source-auth", "rds-iam", "--target-auth", "rds-iam")
	mint = new(awsauth.Tokens).Token
	for _, k := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(k, "")
	}
	for k, v := range map[string]string{"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/nonexistent", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent"} {
		t.Setenv(k, v)
	}
	said := mustExit(t, 12, "dump", "--source", url(src), "--source-auth", "rds-iam", "--to", t.TempDir()+"/a")
	wantText(t, said, "there are no AWS credentials")
	two := strings.Replace(url(src), "localhost:", "localhost:1,localhost:", 1)
	wantText(t, mustExit(t, 3, "dump", "--source", two, "--source-auth", "rds-iam", "--to", t.TempDir()+"/b"), "for one host")
	secrets.search(t, "the output", out+said)
}
