package page

import (
	"time"

	"github.com/pgmove/pgmove/internal/timeline"
)

// report is what the page tells of a report's JSON form. Fields that a report lacks, an older one
// for instance, are left out of the page.
type report struct {
	Command  string    `json:"command"`
	Tool     string    `json:"tool"`
	Run      string    `json:"run"`
	Started  time.Time `json:"started"`
	Seconds  float64   `json:"seconds"`
	ExitCode int       `json:"exit_code"`
	Error    string    `json:"error"`
	Hint     string    `json:"hint"`

	Tables      []table            `json:"tables"`
	Sections    []section          `json:"sections"`
	Rows        int64              `json:"rows"`
	Bytes       int64              `json:"bytes"`
	Warnings    []string           `json:"warnings"`
	Roles       []string           `json:"roles_created"`
	Connections []connection       `json:"connections"`
	Result      *result            `json:"validation"`
	Contents    *contents          `json:"contents"`
	Timeline    *timeline.Timeline `json:"timeline"`
	Servers     []server           `json:"servers"`
	Settings    []setting          `json:"settings"`
	Machine     string             `json:"machine"`
}

type table struct {
	Name    string  `json:"name"`
	Rows    int64   `json:"rows"`
	Bytes   int64   `json:"bytes"`
	Seconds float64 `json:"seconds"`
	Verdict string  `json:"verdict"`
	Note    string  `json:"note"`
	Source  *size   `json:"source"`
	Target  *size   `json:"target"`
}

// size is a table's on disk.
type size struct {
	Table   int64 `json:"table"`
	Indexes int64 `json:"indexes"`
}

func (s *size) total() int64 {
	if s == nil {
		return 0
	}
	return s.Table + s.Indexes
}

type section struct {
	Side    string    `json:"side"`
	Name    string    `json:"name"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
}

type connection struct {
	Side  string `json:"side"`
	Name  string `json:"name"`
	Mode  string `json:"sslmode"`
	TLS   string `json:"tls"`
	Local bool   `json:"local"`
}

type result struct {
	Level      string      `json:"level"`
	Tables     []verdictOn `json:"tables"`
	Sequences  int         `json:"sequences"`
	Schema     int         `json:"schema"`
	Mismatches []string    `json:"mismatches"`
	Unverified []string    `json:"unverified"`
}

type contents struct {
	Header struct {
		Live        bool   `json:"live"`
		Compression string `json:"compression"`
		Tool        string `json:"tool"`
		Source      struct {
			Version  string `json:"version"`
			Database string `json:"database"`
			Encoding string `json:"encoding"`
			Snapshot string `json:"snapshot"`
			DumpTool string `json:"dump_tool"`
		} `json:"source"`
		Resumes []any `json:"resumes"`
	} `json:"header"`
	Tables []struct {
		Table struct {
			LargeObjects bool  `json:"large_objects"`
			Rows         int64 `json:"rows"`
		} `json:"table"`
	} `json:"tables"`
	Sequences []any `json:"sequences"`
	Schema    []struct {
		Desc string `json:"desc"`
	} `json:"schema"`
}

// server is a database server, or what dumped its schema.
type server struct {
	Side    string `json:"side"`
	Name    string `json:"name"` // with the version
	Version string `json:"version"`
	Tool    string `json:"pg_dump"`
}

type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Given bool   `json:"given"`
}
