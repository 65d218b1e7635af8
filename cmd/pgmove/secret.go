package main

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/pgmove/pgmove/internal/awsauth"
	"github.com/pgmove/pgmove/internal/pgsession"
	"github.com/pgmove/pgmove/stream"
)

// sides are the flags that take a connection string.
var sides = []string{"source", "target"}

// mint makes the tokens of --source-auth and --target-auth rds-iam. A variable for the tests alone, whose servers are not
// of RDS.
var mint pgsession.Minter = new(awsauth.Tokens).Token

// secretFlags are the other ways to give a side's connection string.
func secretFlags(side string) []cli.Flag {
	env := "PGMOVE_" + strings.ToUpper(side)
	return []cli.Flag{
		&cli.StringFlag{Name: side + "-file", EnvVars: []string{env + "_FILE"}, Usage: "read --" + side + " from `FILE`: a connection string, or JSON as AWS keeps it; for mounted secrets"},
		&cli.StringFlag{Name: side + "-auth", EnvVars: []string{env + "_AUTH"}, Usage: "how to log in: password, or rds-iam for a fresh IAM token for each connection", Value: "password", DefaultText: "password"},
	}
}

// withSecretFlags gives these flags to each command that has --source or --target.
func withSecretFlags(commands []*cli.Command) {
	for _, c := range commands {
		for _, side := range sides {
			at := slices.IndexFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == side })
			if at >= 0 {
				c.Flags = slices.Insert(c.Flags, at+1, secretFlags(side)...)
			}
		}
	}
}

// given says whether a side's connection string is given in any way.
func given(c *cli.Context, side string) bool {
	return strings.TrimSpace(c.String(side)) != "" || c.String(side+"-file") != ""
}

// connString finds a side's connection string, whichever engine's: the flag's own, a file's, or a secret's of AWS. It fetches:
// once a command is enough.
func connString(ctx context.Context, c *cli.Context, side string) (string, error) {
	s, file := strings.TrimSpace(c.String(side)), c.String(side+"-file")
	if s != "" && file != "" {
		// An exported variable gives way to what is asked for by a flag.
		switch text, named := flagGiven(os.Args, side), flagGiven(os.Args, side+"-file"); {
		case text == named:
			return "", stream.Fail(stream.Usage, "give one of --%[1]s and --%[1]s-file, or of their variables", side)
		case named:
			s = ""
		default:
			file = ""
		}
	}
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", stream.Fail(stream.Usage, "--%s-file: %s", side, err).WithHint("is the secret mounted, and readable by this user?")
		}
		if s = strings.TrimSpace(string(b)); s == "" {
			return "", stream.Fail(stream.Usage, "--%s-file %s: the file is empty", side, file)
		}
		if s, err = awsauth.Connection(file, s); err != nil {
			return "", err
		}
	}
	if strings.HasPrefix(s, awsauth.Scheme) {
		return awsauth.Resolve(ctx, s)
	}
	return s, nil
}

// byToken is a connection, of whichever engine, that can log in with passwords made for it.
type byToken interface {
	Authenticate(pgsession.Minter) error
}

// authenticate sees to --source-auth and --target-auth.
func authenticate(c *cli.Context, side string, conn any) error {
	switch how := c.String(side + "-auth"); how {
	case "password", "":
		return nil
	case "rds-iam":
		if conn, ok := conn.(byToken); ok {
			return conn.Authenticate(mint)
		}
		return stream.Fail(stream.Usage, "--%s-auth rds-iam: only PostgreSQL's logins by IAM are known", side)
	default:
		return stream.Fail(stream.Usage, "--%s-auth %q: password or rds-iam is needed", side, how)
	}
}
