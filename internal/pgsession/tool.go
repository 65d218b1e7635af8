package pgsession

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/pgmove/pgmove/stream"
)

// Tool is what a libpq program is started with to connect as a Conn does, and no less safely. Its passwords
// are in none of its arguments and, where the system allows it, not in its environment either: they stand in
// memory, behind descriptors that the program alone inherits.
type Tool struct {
	// DBName is the value of its --dbname.
	DBName string
	// Env is its whole environment: what libpq and the system's libraries need, and nothing of the other
	// side's or the store's.
	Env []string
	// Files are its descriptors 3 and up.
	Files []*os.File
}

// Tool returns what a libpq program of the major version needs to connect as c does. Close it when the
// program has started.
func (c *Conn) Tool(major int) (t *Tool, err error) {
	t = &Tool{DBName: c.text, Env: environment()}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	if strings.Contains(c.text, "sslrootcert=system") && major < 16 {
		return t, (&stream.Failure{Kind: stream.Preflight, Object: c.Name(), Msg: "sslrootcert=system is not known to pg_dump before 16"}).
			WithHint("name the file of the system's certificates, or install a newer PostgreSQL client")
	}
	if c.keyPassword != "" {
		if c.service {
			return t, (&stream.Failure{Kind: stream.Usage, Object: c.Name(), Msg: "sslpassword and a service can't be given together"}).
				WithHint("write sslpassword into the service file, which pg_dump reads too")
		}
		path, err := t.hidden("[pgmove]\nsslpassword=" + c.keyPassword + "\n")
		if err != nil {
			return t, (&stream.Failure{Kind: stream.Usage, Object: c.Name(), Msg: "sslpassword can't be handed to pg_dump on this system", Err: err}).
				WithHint("use a key without a password, readable by its owner alone")
		}
		t.DBName = with(t.DBName, "service", "pgmove")
		t.Env = append(t.Env, "PGSERVICEFILE="+path)
	}
	return t, t.password(c, major)
}

// password hands the password over: in a password file that has no name, else in the environment.
func (t *Tool) password(c *Conn, major int) error {
	// The program starts at once, and nothing but a token is waited for.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cfg, err := c.fresh(ctx)
	if err != nil || cfg.Password == "" {
		return err
	}
	pw := cfg.Password
	line := "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(pw) + "\n"
	const longest = 300 // of a line, before 13
	if !strings.ContainsAny(pw, "\r\n") && (major >= 13 || len(line) < longest) {
		if path, err := t.hidden(line); err == nil {
			t.DBName = with(without(t.DBName, func(key, _ string) bool { return key == "passfile" }), "passfile", path)
			return nil
		}
	}
	t.Env = append(t.Env, "PGPASSWORD="+pw)
	return nil
}

// hidden puts a text where the program alone can read it, and returns the path by which it does.
func (t *Tool) hidden(text string) (string, error) {
	f, err := nameless()
	if err != nil {
		return "", err
	}
	t.Files = append(t.Files, f)
	if _, err := f.WriteString(text); err != nil {
		return "", err
	}
	return "/proc/self/fd/" + strconv.Itoa(2+len(t.Files)), nil
}

// Close closes the files.
func (t *Tool) Close() {
	for _, f := range t.Files {
		_ = f.Close()
	}
	t.Files = nil
}

// inherited are the variables that a libpq program gets, by the beginnings of their names. Not all: the
// other side's connection string and the store's keys are none of its business.
var inherited = []string{"PG", "PATH=", "HOME=", "USER=", "LOGNAME=", "TMPDIR=", "LD_", "DYLD_", "KRB5", "OPENSSL_", "SSL_CERT_", "SOFTHSM"}

// withheld are PG variables that it doesn't: passwords, pgmove's own, and what would take it elsewhere.
var withheld = []string{"PGPASSWORD=", "PGSSLPASSWORD=", "PGMOVE_", "PGHOSTADDR="}

func environment() []string {
	begins := func(kv string, names []string) bool {
		for _, n := range names {
			if strings.HasPrefix(kv, n) {
				return true
			}
		}
		return false
	}
	var env []string
	for _, kv := range os.Environ() {
		if begins(kv, inherited) && !begins(kv, withheld) {
			env = append(env, kv)
		}
	}
	// pgx knows no GSS encryption, and what was asked for is TLS.
	return append(env, "PGGSSENCMODE=disable")
}
