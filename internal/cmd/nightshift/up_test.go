package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestUpRefusesWithASentence(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, c := range []struct {
		args, want string
	}{
		{"--dynamodb 127.0.0.1:8000", "--dynamodb: \"127.0.0.1:8000\" is not allowed; it must be the URL of a DynamoDB engine"},
		{"--dynamodb " + gone.URL, "--dynamodb: no DynamoDB engine answers at " + gone.URL},
		{"--dynamodb " + gone.URL + " --table a/b", "--dynamodb: the table name \"a/b\" is not allowed"},
		{"--table mine", "--table: it names a table of the engine that --dynamodb names"},
		{"--member 21098765432/eu-west-1", "--member: \"21098765432/eu-west-1\" is not allowed; it must be an account and a Region such as"},
		{"--member 123456789012/eu-west-1", "--member: 123456789012 is the local system's own account"},
		{"--member 210987654321/eu-west-1 --member 210987654321/eu-west-1", "--member: 210987654321/eu-west-1 is given twice"},
		{"--speed 0", "--speed: 0 is not allowed"},
		{"--listen here", "--listen: \"here\" is not allowed"},
	} {
		err := run(append([]string{"up", "--listen", "127.0.0.1:0"}, strings.Fields(c.args)...))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("up %s: got %v, want one sentence that begins with %s", c.args, err, c.want)
		}
	}
}
