package main

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pgmove/pgmove/internal/testbed"
)

// maxNotRun is how many blocks of commands in the documents may be marked as not run. Raise it only for
// what needs a machine that no test has.
const maxNotRun = 38

// block is a fenced block of a document.
type block struct {
	at       string // file and line
	language string
	text     string
	notRun   string // why
	first    string // shell that prepares what the block needs
	exits    int
	each     bool // each move in it goes to a new target
}

var marker = regexp.MustCompile(`^<!-- (not run|test|exits|targets): (.*) -->$`)

// blocks returns a document's fenced blocks, with what the comments before them say:
//
//	<!-- not run: why -->              the block is not run
//	<!-- test: shell -->               is run before it
//	<!-- exits: 30 -->                 the block ends with that code
//	<!-- targets: new for each -->     the target is created anew for each pgmove run and restore
func blocks(t *testing.T, file, name string) []block {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	var next block
	inside := false
	for i, line := range strings.Split(string(b), "\n") {
		switch {
		case inside && line == "```":
			inside = false
			out = append(out, next)
			next = block{}
		case inside:
			next.text += line + "\n"
		case strings.HasPrefix(line, "```"):
			inside = true
			next.at, next.language = fmt.Sprintf("%s:%d", name, i+1), strings.TrimPrefix(line, "```")
		case marker.MatchString(line):
			m := marker.FindStringSubmatch(line)
			switch m[1] {
			case "not run":
				next.notRun = m[2]
			case "test":
				next.first += m[2] + "\n"
			case "exits":
				if next.exits, err = strconv.Atoi(m[2]); err != nil {
					t.Errorf("%s:%d: %v", name, i+1, err)
				}
			case "targets":
				next.each = true
			}
		case strings.TrimSpace(line) != "":
			next = block{} // comments count only right before a block
		}
	}
	return out
}

// documents lists README.md and all Markdown below docs, from the repository's root.
func documents(t *testing.T) []string {
	t.Helper()
	files := []string{"README.md"}
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
			rel, _ := filepath.Rel(root, path)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// needsTarget is a command that needs an empty target.
var needsTarget = regexp.MustCompile(`(?m)^(\S*pgmove (run|restore) )`)

// elsewhere are the folders that documents write to as if they were root.
var elsewhere = regexp.MustCompile(`(^|[\s'"=:])/(srv|var|etc|usr)/`)

// script makes one script of a document's blocks.
func script(list []block) string {
	var b strings.Builder
	b.WriteString(prelude)
	for _, x := range list {
		text := x.text
		if x.each {
			text = needsTarget.ReplaceAllString(text, "new_target\n$1")
		}
		fmt.Fprintf(&b, "at=%s\n%s", x.at, x.first)
		if x.exits == 0 {
			b.WriteString(text)
			continue
		}
		fmt.Fprintf(&b, "code=0; trap - ERR; set +e; (set -e\n%s); code=$?; set -e; trap failed ERR\n", text)
		fmt.Fprintf(&b, "[ $code = %d ] || { echo \"it ended with $code and not %d\" >&2; false; }\n", x.exits, x.exits)
	}
	return b.String()
}

// prelude is what the documents' commands find: old.example.com and new.example.com are two servers, on the first of
// which there is a database app.
const prelude = `set -eEuo pipefail
failed() { echo "FAILED at $at" >&2; }
trap failed ERR
new_target() { dropdb --if-exists --force -h new.example.com -U me app; createdb -h new.example.com -U me -T template0 app; }
`

// TestDocs runs the commands of README.md and of all documents, as a reader would: each document in a folder of its own,
// with a database app on old.example.com, from its first command to its last.
func TestDocs(t *testing.T) {
	t.Parallel()
	var notRun []string
	scripts := map[string]string{}
	for _, name := range documents(t) {
		var run []block
		for _, x := range blocks(t, filepath.Join("..", "..", name), name) {
			commands := x.language == "sh" || x.language == "bash" || x.language == "console" || regexp.MustCompile(`(?m)^(\$ )?(bin/)?pgmove [a-z]`).MatchString(x.text)
			switch {
			case x.notRun != "":
				notRun = append(notRun, x.at+": "+x.notRun)
			case x.language == "sh":
				run = append(run, x)
			case commands:
				t.Errorf("%s: these are commands: mark the block as sh, or say before it <!-- not run: why -->", x.at)
			}
		}
		if len(run) > 0 {
			scripts[name] = script(run)
		}
	}
	t.Logf("%d blocks are not run:\n%s", len(notRun), strings.Join(notRun, "\n"))
	if len(notRun) > maxNotRun {
		t.Errorf("%d blocks are not run, and %d may be", len(notRun), maxNotRun)
	}
	d := newReader(t)
	for _, name := range documents(t) {
		if s := scripts[name]; s != "" {
			t.Run(name, func(t *testing.T) { d.follow(t, s) })
		}
	}
}

// reader is somebody with two servers and a bucket, who follows the documents.
type reader struct {
	old, new *testbed.Postgres
	path     string // PATH
	pgmove   string
}

const readersPassword = "a reader's"

func newReader(t *testing.T) *reader {
	t.Helper()
	client, ok := testbed.ClientBin(testbed.DefaultMajor())
	if !ok {
		t.Fatal("no PostgreSQL client")
	}
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	d := &reader{old: testbed.OwnPostgres(t, testbed.PostgresOptions{}), new: testbed.OwnPostgres(t, testbed.PostgresOptions{}),
		path: client + ":" + os.Getenv("PATH"), pgmove: program}
	for _, p := range []*testbed.Postgres{d.old, d.new} {
		testbed.SQL(t, p, "postgres", "CREATE ROLE me SUPERUSER LOGIN PASSWORD 'a reader''s'")
	}
	return d
}

// follow runs a document's script in a folder of its own.
func (d *reader) follow(t *testing.T, text string) {
	for _, p := range []*testbed.Postgres{d.old, d.new} {
		testbed.SQL(t, p, "postgres", "DROP DATABASE IF EXISTS app WITH (FORCE)")
	}
	if err := d.old.CreateDatabase(t.Context(), "app", ""); err != nil {
		t.Fatal(err)
	}
	testbed.SQL(t, d.old, "app", shop)
	s3 := testbed.OwnS3(t)
	if err := s3.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, sub := range []string{"bin", "srv", "var", "etc", "usr"} {
		if err := os.MkdirAll(filepath.Join(dir, sub, "pgmove"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "bin", "pgmove")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(d.pgmove, filepath.Join(dir, "bin", "pgmove")); err != nil {
		t.Fatal(err)
	}
	for host, p := range map[string]*testbed.Postgres{"old.example.com": d.old, "new.example.com": d.new} {
		text = strings.ReplaceAll(text, "-h "+host, fmt.Sprintf("-h 127.0.0.1 -p %d", p.Port()))
		text = regexp.MustCompile("@"+regexp.QuoteMeta(host)+"(:5432)?/").ReplaceAllString(text, fmt.Sprintf("@127.0.0.1:%d/", p.Port()))
	}
	text = regexp.MustCompile(`sslmode=verify-full(&sslrootcert=[^'"\s]*)?`).ReplaceAllString(text, "sslmode=prefer")
	text = strings.ReplaceAll(text, "https://s3.example.com:9000", s3.Endpoint())
	text = elsewhere.ReplaceAllString(text, "${1}"+dir+"/$2/")
	if i := strings.Index(text, "example.com"); i >= 0 {
		t.Fatalf("a host that there isn't: %.80s", text[max(i-40, 0):])
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-c", text)
	cmd.Dir = dir
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PG") }), s3.Env()...)
	cmd.Env = append(cmd.Env, "PATH="+filepath.Join(dir, "bin")+":"+d.path, "PGPASSWORD="+readersPassword, "HOME="+dir, "PGMOVE_S3_PATH_STYLE=true")
	out, err := cmd.CombinedOutput()
	if err != nil {
		if len(out) > 6000 {
			out = out[len(out)-6000:]
		}
		t.Fatalf("%v\n%s", err, out)
	}
}
