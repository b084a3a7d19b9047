package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"testing"
	"time"

	"nightshift/internal/cadence"
	"nightshift/internal/config"
)

// authority is a certificate in PEM form, as a JSON string.
var authority = func() string {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: at, NotAfter: at.AddDate(1, 0, 0), IsCA: true},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		panic(err)
	}
	text, err := json.Marshal(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})))
	if err != nil {
		panic(err)
	}
	return string(text)
}()

func TestLivyAccess(t *testing.T) {
	const role = "arn:aws:iam::123456789012:role/teams/analyst"
	var certificate string
	if err := json.Unmarshal([]byte(authority), &certificate); err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(with(config.Endpoints, `[
		{"endpoint":"livy/j-1","url":"https://h","executionRoleArn":"`+role+`","livyCA":`+authority+`,"livyDoAs":"ana@example.org"},
		{"endpoint":"livy/j-2","url":"https://h","livyCAFile":"/opt/ca.pem"},
		{"endpoint":"livy/j-3","url":"http://h"},
		{"endpoint":"emr-notebook/123456789012/eu-west-1","releaseLabel":"emr-7.12.0"}]`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []config.LivyAccess{
		{Cluster: "j-1", Role: role, CA: certificate, DoAs: "ana@example.org"}, {CAFile: "/opt/ca.pem"}, {}, {},
	} {
		if got.Endpoints[i].Livy != want {
			t.Errorf("%s is reached by %+v, want %+v", got.Endpoints[i].ID, got.Endpoints[i].Livy, want)
		}
	}
	if n := got.Endpoints[3]; n.API != "emr-notebook" || n.Region != "eu-west-1" {
		t.Errorf("the endpoint of notebooks is %+v", n)
	}
}

func TestSettings(t *testing.T) {
	got, err := config.Load(with(config.Endpoints, `[
		{"endpoint":"livy/j-1","url":"https://h","stopsPerSecond":2.5,"stopBurst":4,"stopsAtOnce":2,"pageSize":100,"youngSeconds":30,"settledSeconds":120},
		{"endpoint":"emr-notebook/123456789012/eu-west-1","stopsPerSecond":1}]`))
	if err != nil {
		t.Fatal(err)
	}
	if set, want := got.Endpoints[0].Cadence, (cadence.Endpoint{
		Stop: cadence.Rate{PerSecond: 2.5, Burst: 4}, Parallel: 2, Page: 100, Young: 30 * time.Second, Settled: 2 * time.Minute, Forgets: 10 * time.Minute,
	}); set != want {
		t.Errorf("all that was set is %+v, want %+v", set, want)
	}
	want := cadence.Of("emr-notebook")
	want.Stop.PerSecond = 1
	if set := got.Endpoints[1].Cadence; set != want {
		t.Errorf("with one thing set it is %+v, want %+v", set, want)
	}
}
