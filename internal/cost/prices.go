package cost

import (
	_ "embed"
	"encoding/csv"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Price is one row of the table: what an hour of an item costs on demand.
type Price struct {
	Service string // sagemaker (training and processing), ec2, emr (on top of ec2), emr-containers
	Region  string
	Item    string // an instance type; of emr-containers vcpu or gb
	USD     float64
	Date    string // the source's own day, else the one on which it was read; 2006-01-02
	Source  string // where it was read
}

type place struct{ service, region, item string }

// Table is a price list. What is not in it is unknown.
type Table map[place]Price

// columns head the file.
var columns = []string{"service", "region", "item", "usd_per_hour", "date", "source"}

//go:embed prices.csv
var published string

// Published is the table that comes with Nightshift.
var Published = sync.OnceValue(func() Table {
	t, err := ReadTable(published)
	if err != nil {
		panic(err) // the file is compiled in, and tested
	}
	return t
})

// ReadTable reads a price list as CSV with the columns of prices.csv. The error
// names the row: a price that is not above zero, has no date, no source, or is
// there twice is refused.
func ReadTable(text string) (Table, error) {
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("price table: %w", err)
	}
	if len(rows) == 0 || strings.Join(rows[0], ",") != strings.Join(columns, ",") {
		return nil, fmt.Errorf("price table: the first row must be %s", strings.Join(columns, ","))
	}
	t := Table{}
	for i, r := range rows[1:] {
		p := Price{Service: r[0], Region: r[1], Item: r[2], Date: r[4], Source: r[5]}
		usd, err := strconv.ParseFloat(r[3], 64)
		_, dated := time.Parse(time.DateOnly, p.Date)
		key := place{p.Service, p.Region, p.Item}
		switch {
		case err != nil || !(usd > 0) || usd > 10_000:
			return nil, fmt.Errorf("price table, row %d: %q is no price of an hour", i+2, r[3])
		case dated != nil:
			return nil, fmt.Errorf("price table, row %d: %q is no date", i+2, p.Date)
		case p.Service == "" || p.Region == "" || p.Item == "" || p.Source == "":
			return nil, fmt.Errorf("price table, row %d: service, region, item and source must be given", i+2)
		case t[key] != Price{}:
			return nil, fmt.Errorf("price table, row %d: %s %s in %s is there twice", i+2, p.Service, p.Item, p.Region)
		}
		p.USD = usd
		t[key] = p
	}
	return t, nil
}
