package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// kind says whom a contestant is compared with.
type kind int

const (
	ours kind = iota
	peer
	mark // the floor
)

// contestant is a way to move a database.
type contestant struct {
	id       string // what the goals know it by
	name     string
	kind     kind
	program  string // label of the pgmove binary; "" where there is one alone
	optional bool   // a failure takes it out of the contest, and does not end it
	// lines are the commands of a move, run in a folder that is empty and its own.
	lines func(a *arena) []pipeline
}

// arena is where a move happens.
type arena struct {
	source, target string // without passwords: those are in a file that libpq knows
	dir            string // an empty folder, removed after the run
	s3             string // s3://bucket/prefix
	bin            string // PostgreSQL's clients
	jobs           string
	plan           string
}

// contestants lists those that can run here.
func (b *bench) contestants(ctx context.Context) ([]*contestant, error) {
	var all []*contestant
	for _, p := range b.pgmove {
		all = append(all, pgmoveWays(p)...)
	}
	all = append(all, stockWays(b.major)...)
	if c, err := b.pgcopydbWay(ctx); err != nil {
		b.say("left out: pgcopydb: %v", err)
	} else {
		all = append(all, c)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	way := func(id, name string, split bool) *contestant {
		return &contestant{id: id, name: name, kind: mark, lines: func(a *arena) []pipeline {
			return []pipeline{{{self, floorCommand, a.plan, a.jobs, strconv.FormatBool(split)}}}
		}}
	}
	all = append(all, way("floor", "the floor", false))
	if b.split {
		all = append(all, way("floor-split", "the floor, largest table in two halves", true))
	}
	var chosen []*contestant
	for _, c := range all {
		if b.only.MatchString(c.name) {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-only %s: no contestant's name matches", b.only)
	}
	return chosen, nil
}

// pgmoveWays are pgmove's ways.
func pgmoveWays(p program) []*contestant {
	way := func(id, name string, args func(a *arena) []string) *contestant {
		name = "pgmove, " + name
		if p.label != "" {
			name += " [" + p.label + "]"
		}
		return &contestant{id: id, name: name, kind: ours, program: p.label, lines: func(a *arena) []pipeline {
			argv := append([]string{p.argv[0], "run", "--jobs", a.jobs, "--pg-bin", a.bin}, args(a)...)
			return []pipeline{{append(argv, p.argv[1:]...)}}
		}}
	}
	return []*contestant{
		way("direct", "direct, no validation", func(*arena) []string { return []string{"--validate", "none"} }),
		way("bare", "direct, no validation, no ANALYZE", func(*arena) []string { return []string{"--validate", "none", "--no-analyze"} }),
		way("validated", "direct, validated", func(*arena) []string { return nil }),
		way("directory", "via a directory, validated", func(a *arena) []string { return []string{"--via", filepath.Join(a.dir, "archive")} }),
		way("s3", "via S3, validated", func(a *arena) []string { return []string{"--via", a.s3, "--s3-path-style"} }),
	}
}

// stockWays are those with PostgreSQL's own clients, as their documentation has them.
func stockWays(major int) []*contestant {
	archive := func(id, name string, compress ...string) *contestant {
		return &contestant{id: id, name: name, kind: peer, lines: func(a *arena) []pipeline {
			dir := filepath.Join(a.dir, "archive")
			dump := append([]string{filepath.Join(a.bin, "pg_dump"), "-Fd", "-j", a.jobs, "-f", dir}, compress...)
			return []pipeline{
				{append(dump, "-d", a.source)},
				{{filepath.Join(a.bin, "pg_restore"), "-j", a.jobs, "--exit-on-error", "-d", a.target, dir}},
			}
		}}
	}
	compressed := archive("archive", "pg_dump -Fd -j, pg_restore -j (gzip)")
	if major >= 16 {
		compressed = archive("archive", "pg_dump -Fd -j, pg_restore -j (zstd)", "--compress=zstd")
	}
	return []*contestant{
		{id: "pipe", name: "pg_dump | psql", kind: peer, lines: func(a *arena) []pipeline {
			return []pipeline{{
				{filepath.Join(a.bin, "pg_dump"), "-d", a.source},
				{filepath.Join(a.bin, "psql"), "-X", "-q", "-o", os.DevNull, "-v", "ON_ERROR_STOP=1", "-d", a.target},
			}}
		}},
		compressed,
		archive("archive-plain", "pg_dump -Fd -j, pg_restore -j (uncompressed)", "-Z0"),
	}
}

var (
	pgcopydbVersion = regexp.MustCompile(`(?m)^pgcopydb version (\S+)`)
	pgcopydbMajors  = regexp.MustCompile(`(?m)^compatible with Postgres (.*)$`)
)

// pgcopydbWay is the way of pgcopydb, if it is there and knows the servers' version.
func (b *bench) pgcopydbWay(ctx context.Context) (*contestant, error) {
	path, err := exec.LookPath(b.pgcopydb)
	if err != nil {
		return nil, err
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, path, "--version").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	v := pgcopydbVersion.FindSubmatch(out)
	m := pgcopydbMajors.FindSubmatch(out)
	if v == nil || m == nil {
		return nil, fmt.Errorf("its version is not understood: %s", out)
	}
	if !regexp.MustCompile(`\b` + strconv.Itoa(b.major) + `\b`).Match(m[1]) {
		return nil, fmt.Errorf("version %s works with %s", v[1], m[1])
	}
	help, err := exec.CommandContext(ctx, path, "clone", "--help").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, help)
	}
	b.versions = append(b.versions, "pgcopydb "+string(v[1]))
	return &contestant{id: "pgcopydb", name: "pgcopydb clone " + string(v[1]), kind: peer, optional: true, lines: func(a *arena) []pipeline {
		argv := []string{path, "clone", "--source", a.source, "--target", a.target, "--dir", filepath.Join(a.dir, "work"),
			"--table-jobs", a.jobs, "--index-jobs", a.jobs}
		if strings.Contains(string(help), "--restore-jobs") { // younger than the others
			argv = append(argv, "--restore-jobs", a.jobs)
		}
		return []pipeline{{argv}}
	}}, nil
}
