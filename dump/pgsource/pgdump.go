package pgsource

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/pgmove/pgmove/stream"
	"github.com/pgmove/pgmove/stream/pgtoc"
)

// tool is a pg_dump program.
type tool struct {
	path         string
	version      string
	major, minor int
}

// places are where packages put pg_dump, PATH apart.
var places = []string{
	"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/bitnami/postgresql/bin",
	"/opt/homebrew/opt/postgresql@*/bin", "/opt/homebrew/opt/libpq/bin", "/usr/local/opt/postgresql@*/bin", "/usr/local/opt/libpq/bin",
	"/usr/libexec/postgresql*",
}

// findTool finds the pg_dump for a server: of the server's own major version
// where there is one, else the oldest that is newer.
func findTool(ctx context.Context, dir string, versionNum int) (*tool, error) {
	major := versionNum / 10000
	var dirs []string
	if dir != "" {
		dirs = filepath.SplitList(dir)
	} else {
		for _, p := range places {
			m, _ := filepath.Glob(p)
			dirs = append(dirs, m...)
		}
		dirs = append(dirs, filepath.SplitList(os.Getenv("PATH"))...)
	}
	var best *tool
	var found, sought []string
	seen := map[string]bool{}
	for _, d := range dirs {
		if d == "" || seen[d] {
			continue
		}
		seen[d] = true
		sought = append(sought, d)
		t := probe(ctx, filepath.Join(d, "pg_dump"))
		if t == nil {
			continue
		}
		found = append(found, t.version+" in "+d)
		if t.major >= major && (best == nil || t.major < best.major || t.major == best.major && t.minor > best.minor) {
			best = t
		}
	}
	if best != nil {
		return best, nil
	}
	f := &stream.Failure{Kind: stream.Preflight}
	if len(found) == 0 {
		f.Msg = fmt.Sprintf("pg_dump is missing: version %d or newer is needed, sought in %s", major, strings.Join(sought, ", "))
	} else {
		f.Msg = fmt.Sprintf("pg_dump is too old: version %d or newer is needed, found are %s; sought in %s", major,
			strings.Join(found, ", "), strings.Join(sought, ", "))
	}
	return nil, f.WithHint("install postgresql-client-%d, or name its folder with --pg-bin", major)
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d+)(?:\.(\d+))?\S*)`)

// wrapper is the program that Debian's packages put in the PATH. It runs what is in the first of places, and takes
// longer to start than all that is asked of it.
const wrapper = "pg_wrapper"

// probed are programs that were asked before, by file: a run asks for the source and for the target.
var probed sync.Map

func probe(ctx context.Context, path string) *tool {
	path, err := filepath.EvalSymlinks(path)
	if err != nil || filepath.Base(path) == wrapper {
		return nil
	}
	st, err := os.Stat(path)
	if err != nil || st.IsDir() {
		return nil
	}
	file := fmt.Sprint(path, st.Size(), st.ModTime().UnixNano())
	if t, ok := probed.Load(file); ok {
		return t.(*tool)
	}
	t := ask(ctx, path)
	if ctx.Err() == nil {
		probed.Store(file, t)
	}
	return t
}

// ask has a program tell its version; nil where it is no pg_dump.
func ask(ctx context.Context, path string) *tool {
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return nil
	}
	m := versionPattern.FindStringSubmatch(string(out))
	if m == nil {
		return nil
	}
	t := &tool{path: path, version: m[1]}
	t.major, _ = strconv.Atoi(m[2])
	t.minor, _ = strconv.Atoi(m[3])
	return t
}

// sameDay says by how much the minor version of a major runs ahead of 15's:
// 18.3, 17.9, 16.13, 15.17 and 14.22 were released on one day.
var sameDay = map[int]int{12: -11, 13: -8, 14: -5, 15: 0, 16: 4, 17: 8, 18: 14}

// staleFor returns a warning where the server's release is younger than pg_dump's: it
// may print what this pg_dump does not know.
func (t *tool) staleFor(versionNum int) string {
	so, ok1 := sameDay[versionNum/10000]
	to, ok2 := sameDay[t.major]
	if !ok1 || !ok2 || t.minor+to >= versionNum%10000+so {
		return ""
	}
	return fmt.Sprintf("pg_dump %s is older than the server's %d.%d: update the client package", t.version, versionNum/10000, versionNum%10000)
}

// errLockWait means that pg_dump gave up waiting for a lock.
var errLockWait = errors.New("pg_dump waited too long for a lock")

// schema dumps the schema of the snapshot and returns its table of contents.
func (t *tool) schema(ctx context.Context, s *Source, excludeLedger bool) (*pgtoc.TOC, error) {
	args := []string{"--section=pre-data", "--section=post-data"}
	if excludeLedger {
		args = append(args, "--exclude-schema="+LedgerSchema)
	}
	return t.run(ctx, s, append(args, s.selected()...), false)
}

// largeObjects returns the table of contents of the data section without tables: from
// version 17 on that is where pg_dump puts what large objects there are. Their content,
// which would follow, is not read.
func (t *tool) largeObjects(ctx context.Context, s *Source) (*pgtoc.TOC, error) {
	return t.run(ctx, s, []string{"--section=data", "--exclude-table-data=*.*"}, true)
}

// run dumps in the custom format and reads the table of contents that comes first.
// With head the rest is not awaited.
func (t *tool) run(ctx context.Context, s *Source, more []string, head bool) (*pgtoc.TOC, error) {
	conn, err := s.conn.Tool(t.major)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	args := append([]string{"--format=custom", "--compress=0", "--no-password", "--snapshot=" + s.exported,
		fmt.Sprintf("--lock-wait-timeout=%d", lockWait.Milliseconds()), "--dbname=" + conn.DBName, "--encoding=" + s.opts.Encoding}, more...)
	if t.major >= 18 {
		args = append(args, "--no-statistics")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, t.path, args...)
	cmd.ExtraFiles = conn.Files
	// English messages: what pg_dump says is read here.
	// What pg_dump does not pin itself, and defaults are printed by.
	cmd.Env = append(conn.Env, "LC_ALL=C", "LC_MESSAGES=C", "PGAPPNAME=pgmove",
		"PGOPTIONS="+strings.TrimSpace(os.Getenv("PGOPTIONS")+" -c bytea_output=hex -c TimeZone=UTC"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, (&stream.Failure{Kind: stream.Preflight, Object: t.path, Msg: "cannot be run", Err: err})
	}
	toc, rerr := pgtoc.Read(out)
	if head && rerr == nil {
		cancel() // it ends by that, and its exit code says no more
		_ = out.Close()
		_ = cmd.Wait()
		return toc, nil
	}
	werr := cmd.Wait()
	said := lines(stderr.String())
	if werr != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		all := strings.Join(said, "; ")
		if strings.Contains(all, "canceling statement due to") && strings.Contains(all, "LOCK TABLE") {
			return nil, fmt.Errorf("%w: %s", errLockWait, all)
		}
		err := dumpFailure(t, all, werr)
		if has(withoutQuery(all), snapshotGone...) && s.opts.Snapshot == "" {
			return nil, s.snapshotLost(err)
		}
		return nil, err
	}
	if rerr != nil {
		return nil, &stream.Failure{Object: t.path, Msg: "its output cannot be read", Err: rerr}
	}
	for _, l := range said {
		s.warn("pg_dump: " + l)
	}
	return toc, nil
}

// connectionGone is what libpq, or the server, says of a connection that was there; snapshotGone what the server
// says of a snapshot whose session is no more.
var (
	connectionGone = []string{"server closed the connection unexpectedly", "could not receive data from server", "could not send data to server",
		"SSL connection has been closed unexpectedly", "SSL SYSCALL error", "terminating connection", "the database system is ", "no connection to the server",
		"connection reset by peer"}
	snapshotGone = []string{"invalid snapshot identifier", "could not import the requested snapshot", "ERROR:  snapshot \""}
)

func has(s string, any ...string) bool {
	return slices.ContainsFunc(any, func(a string) bool { return strings.Contains(s, a) })
}

// withoutQuery is what pg_dump said without the text of the query that failed, which may hold anything.
func withoutQuery(said string) string {
	said, _, _ = strings.Cut(said, "Query was:")
	return said
}

// dumpFailure classifies what pg_dump died of.
func dumpFailure(t *tool, said string, err error) error {
	f := &stream.Failure{Object: "pg_dump " + t.version, Msg: stream.Text(said).Display(), Err: err}
	switch said = withoutQuery(said); {
	case has(said, connectionGone...), has(said, snapshotGone...):
		f.Kind = stream.Outage
	case strings.Contains(said, "permission denied"):
		f.Kind, f.Hint = stream.Denied, "grant the role pg_read_all_data on the source"
	case strings.Contains(said, "row-level security"):
		f.Kind, f.Hint = stream.Denied, "run as a role with BYPASSRLS"
	case strings.Contains(said, "server version mismatch"):
		f.Kind, f.Hint = stream.Preflight, "install a pg_dump as new as the server"
	case strings.Contains(said, "no matching"):
		f.Kind, f.Hint = stream.Preflight, "check --schema and --table: each pattern must match something"
	case strings.Contains(said, "certificate"), strings.Contains(said, "SSL"):
		f.Kind, f.Hint = stream.Denied, "pg_dump checks the server's certificate by sslrootcert=FILE alone, or by ~/.postgresql/root.crt: name the authority's file"
	case strings.Contains(said, "connection to server"):
		f.Kind = stream.Outage
	}
	return f
}

// lines returns the non-empty lines, printable.
func lines(s string) []string {
	var out []string
	for _, l := range strings.Split(s, "\n") {
		if l = strings.TrimSpace(strings.TrimPrefix(l, "pg_dump: ")); l != "" {
			out = append(out, stream.Text(l).Display())
		}
	}
	return out
}
