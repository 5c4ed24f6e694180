"""Every word that an invoice prints, in English; catalogues in `locale` translate them: see `languages`.

Texts with `{}` fields are filled by the view model; the template prints the others by their key (`text.bill_to`).
"""

from typing import Final

from billing_pipeline.documents.languages import Messages

_ENGLISH: Final = {
    # Head
    "invoice": "Invoice",
    "draft_invoice": "Draft invoice",
    "credit_note": "Credit note",
    "draft": "DRAFT",
    "no_number": "No number yet",
    "bill_to": "Bill to",
    "from": "From",
    "details": "Details",
    "issued": "Issued",
    "due": "Due",
    "period": "Period",
    "status": "Status",
    "operation": "Operation",
    "services_supplied": "Supply of services",
    "purchase_order": "Purchase order",
    "cost_centre": "Cost centre",
    "vat_number": "VAT {number}",
    "legal_id": "Reg. no. {number}",
    "siren": "Reg. no. {number}",
    "siret": "Reg. no. {number}",
    "not_yet": "Not yet",
    "status_draft": "Draft",
    "status_pending": "Payment due",
    "status_paid": "Paid",
    # Foot: "Page 1 of 3"
    "page": "Page",
    "page_of": "of",
    # Amount panel
    "amount_to_pay": "Amount to pay",
    "pay_by": "Due on {day}",
    "nothing_to_pay": "There is nothing to pay.",
    "draft_not_payable": "This is a draft: please do not pay it.",
    "bank_transfer": "Pay by bank transfer",
    "payment_code": "QR code of this transfer, for banking apps",
    "iban": "IBAN",
    "bic": "BIC",
    "reference": "Reference",
    # Credit note
    "corrects": "Corrects",
    "corrected_invoice": "{number} of {day}",
    "amount_in_favour": "Amount in your favour",
    "credited": "Set off against what you owe, or refunded.",
    "nothing_in_money": "Everything was paid by credits, which are given back.",
    "credited_fees": "Fees credited",
    "credited_fees_note": "{period}, see the details",
    "prepaid_given_back": "Prepaid credits given back",
    "free_given_back": "Free credits given back",
    "refill_cancelled": "Prepaid credits that need not be paid any more",
    "prepaid_refunded": "Prepaid credits refunded",
    "terms_credit_note": (
        "This credit note corrects invoice {number} of {day}, which stays as it was issued. Credits that had paid it "
        "are back on your balance; free credits whose validity has ended lapse."
    ),
    "terms_cancellation": (
        "This credit note cancels invoice {number} of {day}, which need not be paid any more. Credits that had paid it "
        "are back on your balance; free credits whose validity has ended lapse."
    ),
    "terms_reissue": (
        "This credit note takes back invoice {number} of {day}, which is issued again: {reason}. Your credits stay as "
        "they are."
    ),
    "prepaid_kept": "Prepaid credits that had paid it",
    "free_kept": "Free credits that had paid it",
    "refill_kept": "Prepaid credits that the new invoice asks for",
    # Invoice that is issued again
    "replaces": "Replaces",
    "terms_replaces": "This invoice replaces {number} of {day}, which a credit note takes back: {reason}.",
    "terms_refund": (
        "This credit note refunds prepaid credits that invoice {number} of {day} sold and that were not used; they are "
        "no longer on your balance."
    ),
    # Documents beside the monthly invoice
    "performed": "Date of service",
    "order": "Your order",
    "ordered": "What was ordered",
    "sold_credits": "Prepaid credits",
    "sold_credits_note": "Added to your balance once this invoice is paid",
    # Interim invoice
    "interim_invoice": "Interim invoice",
    "fees_to_date": "Fees of the month to date",
    "less_free_used": "Free credits",
    "less_prepaid_used": "Prepaid credits",
    "less_earlier": "Earlier interim invoices of the month",
    "less_pending": "Billed credits pending payment",
    "interim_counted": "b, prepaid credits: {amount} of them were asked for while the month ran: {numbers}.",
    "interim_note": "Prepaid for the month: its invoice settles all fees and asks for the rest",
    # E-invoice
    "free_used": "Free credits used",
    "prepaid_used": "Prepaid credits used",
    "refill_asked": "Prepaid credits for the next period",
    "interim_credits": "Prepaid credits for the fees of the month to date",
    "rounding_of": "rounding of {count} resources",
    "rounding_of_one": "rounding of 1 resource",
    "gigabyte_hours": "GB × hours",
    "correction_of": "Correction of {month}, {cause}",
    "recovery_charge": "Fixed recovery charge for late payment: €40 (article D441-5 of the French commercial code).",
    "late_interest": (
        "Late payment bears interest at three times the legal rate (article L441-10 of the French commercial code)."
    ),
    "no_early_discount": "No discount for early payment.",
    # Totals
    "totals": "Totals",
    "fees": "Fees for the period",
    "fees_note": "{period}, see the usage details",
    "discount": "Discount {rate}",
    "fixed_discount": "Discount {amount}",
    "maximum": "Maximum {amount}",
    "minimum": "Minimum {amount}",
    "commitment": "Commitment {amount}",
    "rule_for": "{name} for {scope}",
    "several_discounts": "Discounts",
    "total_fees": "Total fees",
    "used_credits": "Used credits",
    "credits_to_add": "Credits to add",
    "credits_note": "Net use of credits, see the credit statement",
    "subtotal": "Subtotal excluding tax",
    "over_consumption": "Of which {amount} of fees that your credits did not cover (over-consumption)",
    "over_consumption_and_refill": (
        "Of which {amount} of fees that your credits did not cover (over-consumption) and {refill} of credits to refill"
    ),
    "vat": "VAT {rate}",
    "by_service": "Fees by service",
    "by_day": "Cost by day",
    "highest_day": "Highest {amount} on {day}",
    "by_day_of": "Cost by day and service, the highest {amount} on {day}",
    "other_services": "{count} other services",
    "share_of": "Share of {service}",
    "amount": "Amount",
    "no_fees": "Nothing was used in this period.",
    # Terms
    "terms": "Terms.",
    "terms_business": (
        "Payable by {day}. Late payment bears interest at three times the legal rate and a fixed recovery charge of "
        "€40 (articles L441-10 and D441-5 of the French commercial code). No discount for early payment."
    ),
    "terms_consumer": "Payable by {day}. No discount for early payment.",
    "terms_paid": "Nothing is due. No discount for early payment.",
    "terms_draft": "For information only. The invoice that follows may differ and is the only one to be paid.",
    "questions": "Questions: {email}.",
    # Credit statement
    "credit_statement": "Credit statement",
    "credit_statement_note": "How your free and prepaid credits moved, and what is needed to cover the next period.",
    "steps": "Credits from the previous balance to the balance after payment",
    "balance_before": "Previous balance",
    "credits_used": "Used and expired",
    "next_period": "Next period",
    "pending_and_refill": "Pending and refill",
    "balance_after": "After payment",
    "letter": "Letter",
    "entry": "Entry",
    "formula": "Formula",
    "net_use": "Net use of credits",
    "custom_refill": "Refilling a custom amount of credits",
    "agreed_refill": "h, the refill: a custom amount of {amount} was agreed. {agreement}",
    "explained": "How these figures come about",
    "regularisation": (
        "Regularisation for over-consumption, F + c + e: total fees of {fees} less {used} of used credits leave "
        "{amount}, invoiced now."
    ),
    "estimate_same_as_last_month": "f, the estimate: the fees that recur, {recurring}.",
    "estimate_daily_rate": "f, the estimate: the fees that recur, {recurring}, over next month's days: {estimate}.",
    "estimate_mean_of_three": "f, the estimate: the mean of the fees that recurred lately, {parts}: {estimate}.",
    "estimate_committed": "f, the estimate: what you committed yourself to spend, {estimate}.",
    "estimate_final": "f and h: this is a final statement, so nothing is estimated or refilled.",
    "estimate_interim": "f, the estimate: none, as the next period is invoiced while it runs.",
    "one_off": "One-off charges of {one_off} are not expected again.",
    "corrections": "Corrections of older months, {corrections}, are not expected again.",
    "handed_over": "{name} pays from the next period on. What is left of your credits, {amount}, moves there.",
    "free_credits": "Free credits",
    "free_credits_note": "What each coupon held, paid and leaves for the next period.",
    "coupon": "Coupon",
    "valid_until": "Valid until",
    "no_expiry": "No expiry",
    "starts_on": "From {day}",
    "only_for": "Only for {slugs}",
    "before": "Before",
    "used": "Used",
    "expired": "Expired",
    "left": "Left for next",
    "total": "Total",
    # Organisations
    "fees_per_organisation": "Fees per organisation",
    "fees_per_organisation_note": "Every organisation billed on this invoice.",
    "organisation": "Organisation",
    "main": "Main",
    # Usage details
    "usage_details": "Usage details",
    "usage_details_note": (
        "Every billed resource. Time is measured to the second, volume to the byte (1 GB = 10⁹ bytes)."
    ),
    "condensed_details_note": (
        "{count} lines, put together by item and price; each of them stands in {name}.csv beside this document."
    ),
    "item": "Item",
    "size_and_zone": "Size and zone",
    "usage": "Usage",
    "price": "Price",
    "one_resource": "1 resource",
    "resources": "{count} resources",
    "one_item": "1 item",
    "items": "{count} items",
    "grouped_resources": "{count} resources below the cent",
    "over": "over {duration}",
    "line_discount": "Discount of {rate}",
    "usage_of_month": "Usage of {month}",
    "corrected": "Correction of {month}, {cause}: {billed} billed, {rated} now",
    "corrected_cancelled": "cancelled",
    "corrected_late": "usage that came late",
    "corrected_withdrawn": "usage that was withdrawn",
    "corrected_price": "another price",
    "corrected_owner": "another organisation",
    "fees_before_discount": "Total fees before discount",
    # Time not billed
    "unusable": "Time not billed",
    "unusable_note": "Time in which the platform did not serve you. It is left out of the usage above.",
    "unusable_period": "From and to ({zone})",
    "unusable_reason": "Reason",
    "unusable_duration": "Duration",
    "unusable_total": "Time not billed in all",
    # Figures
    "percentage": "{number} %",
    "measured": "{number} {unit}",
    "terabyte": "TB",
    "gigabyte": "GB",
    "megabyte": "MB",
    "kilobyte": "kB",
    "byte": "B",
    "days": "{count}d",
    "hours": "{count}h",
    "minutes": "{count}m",
    "seconds": "{count}s",
    # Of a duration, the counts behind its first one
    "later_count": "{count:02d}",
    # Dates, in the letters of CLDR: https://unicode.org/reports/tr35/tr35-dates.html#Date_Field_Symbol_Table
    "day_pattern": "yyyy-MM-dd",
    "instant_pattern": "yyyy-MM-dd HH:mm:ss",
    # Within a sentence, and there the first of a month
    "day_in_words_pattern": "yyyy-MM-dd",
    "first_in_words_pattern": "yyyy-MM-dd",
    "month_pattern": "yyyy-MM",
}
TEXTS: Final = Messages(_ENGLISH)

#: The credit statement in printed order: letter, column of `credits/credit_statements`, label, formula.
STATEMENT: Final = (
    ("a", "free_before_cents", "Previous free credits balance", ""),
    ("b", "prepaid_before_cents", "Previous prepaid credits balance", ""),
    ("A", "balance_before_cents", "Your previous credits balance", "A = a + b"),
    ("c", "free_used_cents", "Used free credits", ""),
    ("d", "free_expired_cents", "Expired free credits", ""),
    ("e", "prepaid_used_cents", "Used prepaid credits", ""),
    ("f", "forecast_cents", "Estimated consumption for the next period", ""),
    ("g", "pending_cents", "Billed credits pending payment", ""),
    ("h", "refill_cents", "Amount of prepaid credits to refill", "h = max(0, \N{MINUS SIGN}(A + c + … + g))"),
    ("B", "balance_after_cents", "Your total credits after paying this invoice", "B = A + c + d + e + h"),
    ("i", "change_cents", "Global evolution of your credits balance", "i = B \N{MINUS SIGN} A"),
)
STATEMENT_LABELS: Final = Messages({letter: label for letter, _, label, _ in STATEMENT}, "statement")
NET_USE_FORMULA: Final = "i \N{MINUS SIGN} d"

#: What the part of a slug before its dot is called; a service that is not listed prints its own name.
SERVICES: Final = Messages({
    "apps": "Applications",
    "commitment": "Commitments",
    "cellar": "Cellar object storage",
    "credits": "Prepaid credits",
    "elasticsearch": "Elasticsearch",
    "es": "Elasticsearch",
    "fsbucket": "FS Buckets",
    "gpu": "GPU instances",
    "heptapod": "Heptapod",
    "heptapod-runner": "Heptapod runners",
    "jenkins": "Jenkins",
    "k8s": "Kubernetes",
    "minimum": "Minimums",
    "mongodb": "MongoDB",
    "mysql": "MySQL",
    "one_shot": "One-off charges",
    "postgresql": "PostgreSQL",
    "pulsar": "Pulsar",
    "redis": "Redis",
    "vendor": "Third-party services",
    "vm": "Virtual machines",
}, "service")  # fmt: skip

#: What a counted unit is called, by the end of its slug.
COUNTED: Final = (("users", "user", "users"), ("seats", "seat", "seats"), ("", "unit", "units"))
COUNTED_NAMES: Final = Messages({name: name for _, *names in COUNTED for name in names}, "counted")

#: What a catalogue translates: English texts by context.
MESSAGES: Final = {
    context: text
    for messages in (TEXTS, STATEMENT_LABELS, SERVICES, COUNTED_NAMES)
    for context, text in messages.in_catalogue().items()
}
