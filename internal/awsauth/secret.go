package awsauth

import (
	"context"
	"encoding/json"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/pgmove/pgmove/stream"
)

// Scheme begins a reference to a secret of AWS Secrets Manager.
const Scheme = "aws-secret://"

// reference is aws-secret://NAME-or-ARN?…, taken apart.
type reference struct {
	name   string
	region string
	key    string // the member of the secret's JSON that is a connection string
	fill   fill
}

// fill is what a secret leaves open, as one that RDS keeps for a master user does: it has user and password alone.
type fill struct {
	engine, host, port, dbname, user string
	more                             url.Values // go into the connection string as they are
}

// parseReference takes a reference apart. Its name is no secret, and is shown in errors.
func parseReference(s string) (reference, error) {
	name, query, _ := strings.Cut(strings.TrimPrefix(s, Scheme), "?")
	var r reference
	bad := func(msg string) (reference, error) {
		return r, (&stream.Failure{Kind: stream.Usage, Object: stream.Text(Scheme + name).Display(), Msg: msg}).
			WithHint("write aws-secret://NAME-or-ARN, with ?region=…&key=…&host=…&port=…&dbname=… where they are needed")
	}
	var err error
	if r.name, err = url.PathUnescape(name); err != nil || r.name == "" {
		return bad("not the name of a secret")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return bad("its parameters can't be read")
	}
	for k, v := range values {
		if len(v) != 1 || v[0] == "" {
			return bad("the parameter " + stream.Text(k).Display() + " is empty, or there twice")
		}
		if k == "password" {
			return bad("a password belongs into the secret")
		}
	}
	take := func(k string) string { v := values.Get(k); values.Del(k); return v }
	r.region, r.key = take("region"), take("key")
	r.fill = fill{engine: take("engine"), host: take("host"), port: take("port"), dbname: take("dbname"), user: take("user"), more: values}
	if p := strings.Split(r.name, ":"); r.region == "" && p[0] == "arn" && len(p) > 3 {
		r.region = p[3]
	}
	return r, nil
}

// Resolve fetches the secret that a reference names and returns it as a connection string, with its password. The
// secret is a connection string itself, or JSON as RDS and its rotation write it. AWS_ENDPOINT_URL_SECRETS_MANAGER names
// another server than AWS's, as for the AWS tools.
//
// The kinds of its Failures: Usage for a reference or a configuration that can't be, Preflight for a secret that isn't there or
// isn't one of a database, Denied, Outage.
func Resolve(ctx context.Context, ref string) (string, error) {
	r, err := parseReference(ref)
	if err != nil {
		return "", err
	}
	object := stream.Text(Scheme + r.name).Display()
	short, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cfg, err := load(short, r.region, object)
	if err != nil {
		return "", err
	}
	out, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(short, &secretsmanager.GetSecretValueInput{SecretId: &r.name})
	if err != nil {
		return "", failure(ctx, object, "the secret can't be fetched", err)
	}
	text := aws.ToString(out.SecretString)
	if out.SecretString == nil {
		text = string(out.SecretBinary)
	}
	return connection(object, text, r.key, r.fill)
}

// Connection returns the connection string that a secret's text holds, from wherever it comes: one as it is, or JSON
// with the members username, password, host, port, dbname and engine. object names the secret in errors.
func Connection(object, text string) (string, error) { return connection(object, text, "", fill{}) }

func connection(object, text, key string, f fill) (string, error) {
	bad := func(msg, hint string, args ...any) (string, error) {
		return "", (&stream.Failure{Kind: stream.Preflight, Object: object, Msg: msg}).WithHint(hint, args...)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return bad("the secret is empty", "put a connection string into it")
	}
	if !strings.HasPrefix(text, "{") {
		if key != "" {
			return bad("the secret is no JSON: it has no key "+stream.Text(key).Display(), "leave key= out")
		}
		return whole(object, text, f)
	}
	var members map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&members) != nil { // its error may quote the secret
		return bad("the secret is not JSON, though it begins as such", "put a connection string into it, or JSON with username, password, host, port and dbname")
	}
	if key != "" {
		v, ok := members[key].(string)
		if !ok || v == "" {
			return bad("the secret has no text under the key "+stream.Text(key).Display(), "it has these: %s", names(members))
		}
		return whole(object, v, f)
	}
	return assembled(object, members, f)
}

// whole is a secret that is a connection string already.
func whole(object, text string, f fill) (string, error) {
	if f.engine+f.host+f.port+f.dbname+f.user != "" {
		return "", (&stream.Failure{Kind: stream.Usage, Object: object, Msg: "the secret is a whole connection string: engine, host, port, dbname and user have no place in it"}).
			WithHint("leave them out")
	}
	if len(f.more) == 0 {
		return text, nil
	}
	if !strings.Contains(text, "://") {
		return "", (&stream.Failure{Kind: stream.Usage, Object: object, Msg: "the secret is no URL: parameters can't be added to it"}).WithHint("leave them out")
	}
	if strings.Contains(text, "?") {
		return text + "&" + f.more.Encode(), nil
	}
	return text + "?" + f.more.Encode(), nil
}

// schemes are the URLs of engines, by RDS's words for them.
var schemes = map[string]string{"": "postgres", "postgres": "postgres", "postgresql": "postgres", "aurora-postgresql": "postgres",
	"mysql": "mysql", "aurora": "mysql", "aurora-mysql": "mysql", "mariadb": "mariadb"}

// assembled makes a URL of JSON's members. What the reference says goes before what the secret says.
func assembled(object string, members map[string]any, f fill) (string, error) {
	get := func(own string, keys ...string) string {
		if own != "" {
			return own
		}
		for _, k := range keys {
			switch v := members[k].(type) {
			case string:
				if v != "" {
					return v
				}
			case json.Number:
				return v.String()
			}
		}
		return ""
	}
	engine := get(f.engine, "engine")
	scheme, ok := schemes[strings.ToLower(engine)]
	if !ok {
		return "", (&stream.Failure{Kind: stream.Preflight, Object: object, Msg: "the secret is of another engine: " + stream.Text(engine).Display()}).
			WithHint("postgres, mysql and mariadb are known")
	}
	user, password := get(f.user, "username", "user"), get("", "password")
	host, port := get(f.host, "host", "hostname"), get(f.port, "port")
	dbname := get(f.dbname, "dbname", "database", "dbName")
	for _, need := range [][2]string{{"username", user}, {"host", host}} {
		if need[1] == "" {
			return "", (&stream.Failure{Kind: stream.Preflight, Object: object, Msg: "the secret has no " + need[0]}).
				WithHint("it has these members: %s; a master user's secret has no host: aws-secret://NAME?host=…&dbname=…", names(members))
		}
	}
	u := url.URL{Scheme: scheme, Host: host, User: url.User(user), RawQuery: f.more.Encode()}
	if password != "" {
		u.User = url.UserPassword(user, password)
	}
	if strings.Contains(host, ":") {
		u.Host = "[" + strings.Trim(host, "[]") + "]"
	}
	if port != "" {
		u.Host = net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	if dbname != "" {
		u.Path = "/" + dbname
	}
	return u.String(), nil
}

// names lists the members of a secret, for a message: names are none.
func names(members map[string]any) string {
	var all []string
	for k := range members {
		all = append(all, stream.Text(k).Display())
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
