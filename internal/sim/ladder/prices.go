package ladder

// Prices in US dollars, us-east-1, as quoted by AWS's pricing pages on
// 2026-11-20: aws.amazon.com/step-functions/pricing, /lambda/pricing (arm64),
// /dynamodb/pricing/on-demand, /eventbridge/pricing, /sqs/pricing. Calls of the
// engines' APIs are free.
const (
	PerTransition = 0.025 / 1_000
	PerInvocation = 0.20 / 1_000_000
	PerGBSecond   = 0.0000133334
	PerReadUnit   = 0.125 / 1_000_000
	PerWriteUnit  = 0.625 / 1_000_000
	PerEvent      = 1.00 / 1_000_000
	PerRequest    = 0.40 / 1_000_000 // of SQS; a message is three
)
