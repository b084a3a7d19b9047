package outbound

import (
	"encoding/json"
	"strings"
	"testing"

	"nightshift/internal/cost"
	"nightshift/internal/session"
)

func TestS8_5UnknownIsNotZero(t *testing.T) {
	c := cost.Cost{Hourly: cost.Amount{USD: 2.816}, SoFar: cost.Amount{}, ToDeadline: cost.Amount{Unknown: "it has no deadline"}, Saved: cost.Amount{Unknown: "it was not stopped"},
		Prices: []cost.Price{{Service: "sagemaker", Region: "us-east-1", Item: "ml.g5.xlarge", USD: 1.408, Date: "2026-08-17", Source: "page"}}}
	body, err := json.Marshal(Cost(c))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"hourly":{"usd":2.82},"soFar":{"usd":0},"toDeadline":{"unknown":"it has no deadline"},"savedAtMost":{"unknown":"it was not stopped"},` +
		`"sharedCluster":false,"forgotten":false,"prices":[{"service":"sagemaker","region":"us-east-1","item":"ml.g5.xlarge","usdPerHour":1.408,"date":"2026-08-17","source":"page"}]}`
	if string(body) != want {
		t.Errorf("%s", body)
	}
}

func TestS8_5AReportHasListsWhereItIsEmpty(t *testing.T) {
	body, err := json.Marshal(Costs(cost.Book{}.Report(nil, at(t, "2026-11-20T18:00:00Z"))))
	if err != nil || strings.Contains(string(body), "null") {
		t.Errorf("%s, %v", body, err)
	}
	r := cost.Book{Table: cost.Published()}.Report([]session.Session{forgotten(t), spark(t)}, at(t, "2026-11-22T18:04:11Z"))
	body, err = json.Marshal(Costs(r))
	if err != nil {
		t.Fatal(err)
	}
	for _, words := range []string{`"byCostCenter":[{"key":"4711","sessions":1,"soFar":{"usd":135.17,"unknown":0}`, `{"key":"","sessions":1,"soFar":{"usd":0,"unknown":1}`, `"forgotten":["9f2c61d07be84a35"]`} {
		if !strings.Contains(string(body), words) {
			t.Errorf("%s is not in %s", words, body)
		}
	}
}
