"""Templates of made-up texts: `{LABEL}` becomes a span, `{LABEL:filling}` one filled by that name, `{~filling}` none.

Written for this project; nothing in them is taken from a data set.
"""

from __future__ import annotations

TITLES = ("Mr.", "Mrs.", "Ms.", "Dr.", "Prof.")
NATIONALITIES = (
    "Brazilian", "Canadian", "Danish", "Egyptian", "French", "German", "Indian", "Italian", "Japanese", "Kenyan",
    "Korean", "Mexican", "Nigerian", "Norwegian", "Peruvian", "Polish", "Spanish", "Turkish", "Ukrainian", "Vietnamese",
)  # fmt: skip
CONDITIONS = (
    "asthma", "type 2 diabetes", "migraine", "a broken wrist", "high blood pressure", "iron deficiency", "pneumonia",
    "chronic back pain", "hay fever", "coeliac disease", "a torn ligament", "depression", "gastritis", "sleep apnoea",
)  # fmt: skip
MEDICATIONS = (
    "ibuprofen 400 mg", "metformin", "amoxicillin 500 mg", "lisinopril 10 mg", "salbutamol", "omeprazole 20 mg",
    "sertraline", "insulin glargine", "paracetamol", "cetirizine", "prednisolone 5 mg", "atorvastatin",
)  # fmt: skip

LETTERS = (
    "Dear {TITLE} {PERSON},\n\nthank you for your order of {DATE_TIME}. We have sent it to {STREET_ADDRESS}.\n\n"
    "Kind regards\n{ORGANIZATION}",
    "Dear {PERSON}, your new bank card is on its way. Until it arrives the old one, {CREDIT_CARD}, stays valid.",
    "To whom it may concern: {PERSON} has rented our flat at {STREET_ADDRESS} since {DATE_TIME} and paid on time.",
    "Please transfer the deposit to {IBAN_CODE} before {DATE_TIME}, or the room will be given to somebody else.",
    "We confirm that {PERSON}, aged {AGE}, has been a member of {ORGANIZATION} for {~number} weeks.",
    "I hereby cancel my contract with {ORGANIZATION}. My account number is {BANK_ACCOUNT}, the routing number "
    "{BANK_ROUTING}. Please confirm to {EMAIL_ADDRESS}.",
    "As agreed on the telephone, the tax number of our branch in {LOCATION} is {TAX_ID}.",
    "Madam, the passport {PASSPORT} that you reported missing was handed in at our consulate in {LOCATION}.",
    "{ORGANIZATION} invites {TITLE} {PERSON} to the opening of its new office in {LOCATION} on {DATE_TIME}.",
    "My landlord still writes to my old address, {STREET_ADDRESS}; could the bailiff use {EMAIL_ADDRESS} instead?",
    "The estate of the late {PERSON} includes a wallet with the address {CRYPTO}, whose key nobody has found.",
    "With this letter {PERSON} authorises {PERSON} to collect the parcel with the identity card {NATIONAL_ID}.",
)

FORMS = (
    "Name: {PERSON}\nBorn: {DATE_TIME}\nSocial security number: {SSN}\nPhone: {PHONE_NUMBER}",
    "Applicant: {PERSON}\nNationality: {NATIONALITY}\nPassport no.: {PASSPORT}\nPurpose of stay: studies",
    "Patient: {PERSON}\nRecord: {MEDICAL_RECORD}\nInsurance: {HEALTH_INSURANCE_ID}\nReason: {MEDICAL_CONDITION}",
    "Cardholder {PERSON}, card number {CREDIT_CARD}, security code {PIN}, billing code {POSTAL_CODE}",
    "Vehicle registration form. Owner: {PERSON}. Plate: {LICENSE_PLATE}. Driving licence: {DRIVER_LICENSE}.",
    "Emergency contact: {PERSON}, reachable at {PHONE_NUMBER} during the day and {PHONE_NUMBER} at night",
    "Beneficiary: {ORGANIZATION}; IBAN {IBAN_CODE}; BIC {BANK_ROUTING}; reference: membership fee",
    "Prescriber licence {MEDICAL_LICENSE}, medicine {MEDICATION}, three times a day, issued on {DATE_TIME}",
    "Visitor badge issued to {PERSON} of {ORGANIZATION}, valid on {DATE_TIME}, escort required above floor two",
    "Employee onboarding: user name {USERNAME}, mailbox {EMAIL_ADDRESS}, laptop with MAC address {DEVICE_ID}",
    "Shipping label for {PERSON}, {STREET_ADDRESS}. Leave with a neighbour if nobody opens.",
    "Declaration of income for {PERSON}, taxpayer number {TAX_ID}, resident in {LOCATION} since {DATE_TIME}",
)

CHATS = (
    "hi, my card {CREDIT_CARD} was swallowed by the machine, can you block it please?",
    "Agent: may I have your phone number? Customer: sure, it's {PHONE_NUMBER}, but only after six",
    "sorry for the late reply!! just mail me at {EMAIL_ADDRESS} and i'll send the pictures",
    "can somebody reset the password of {USERNAME}? it was {PASSWORD} but that stopped working this morning",
    "hey {PERSON}, are you coming to {LOCATION} with us or do you stay at home again?",
    "i moved, so please change my address to {STREET_ADDRESS} from next month on",
    "who has the door code? i tried {PIN} twice and now it blinks red",
    "Bot: please enter your insurance number.\nUser: {HEALTH_INSURANCE_ID}\nBot: thank you, one moment.",
    "did you see the link {URL} that {PERSON} posted? looks like a scam to me",
    "my social is {SSN} and i still can't log in to the benefits page, what am i doing wrong",
    "please send the refund to {IBAN_CODE}, the other account was closed on {DATE_TIME}",
    "the wifi at {ORGANIZATION} asks for a login, use {USERNAME} with {PASSWORD} as long as nobody minds",
    "send the coins to {CRYPTO} and not to the old wallet, that one is lost",
    "is there anybody {NATIONALITY} in the group who could translate two sentences for {PERSON}?",
    "ok so the plate of the car that hit mine is {LICENSE_PLATE}, it drove off towards {LOCATION}",
    "gran turned {AGE} today and still walks up to the castle every morning, unbelievable",
)

LOGS = (
    "{DATE_TIME:stamp} INFO login ok user={USERNAME} ip={IP_ADDRESS}",
    "{DATE_TIME:stamp} WARN login failed for {EMAIL_ADDRESS} from {IP_ADDRESS}, attempt {~number}",
    "{DATE_TIME:stamp} ERROR payment declined card={CREDIT_CARD} order={~number}",
    "{DATE_TIME:stamp} DEBUG calling {URL} with header Authorization: Bearer {ACCESS_TOKEN}",
    "dhcp: lease of {IP_ADDRESS} given to {DEVICE_ID} for {~number} minutes",
    "export API_KEY={API_KEY} # remove before commit",
    "psql: connecting as {USERNAME} with password {PASSWORD} to host {IP_ADDRESS} port 5432",
    "sshd: accepted key {PRIVATE_KEY} for {USERNAME} from {IP_ADDRESS}",
    "mailer: bounced message to {EMAIL_ADDRESS}, reason: mailbox full, queue length {~number}",
    "config reload: service token is now {ACCESS_TOKEN}, old one expires on {DATE_TIME}",
    "GET {URL} 200 {~number}ms client={IP_ADDRESS}",
    "job {~number} wrote the report for account {BANK_ACCOUNT} and mailed it to {EMAIL_ADDRESS}",
    "firewall dropped a packet from {IP_ADDRESS} to {IP_ADDRESS}, rule {~number}",
    "curl -H 'X-Api-Key: {API_KEY}' {URL} returned nothing useful",
)

NOTES = (
    "{PERSON} ({AGE}) came in with {MEDICAL_CONDITION}; started on {MEDICATION}, review in two weeks.",
    "Met {PERSON} from {ORGANIZATION} at the fair in {LOCATION}. Wants an offer by {DATE_TIME}.",
    "Call {TITLE} {PERSON} back about the broken heating: {PHONE_NUMBER}",
    "Discharge summary for file {MEDICAL_RECORD}: {MEDICAL_CONDITION} resolved, {MEDICATION} stopped.",
    "The witness, a {NATIONALITY} student aged {AGE}, saw a van with the plate {LICENSE_PLATE} leave at noon.",
    "Rent for {STREET_ADDRESS} is due on {DATE_TIME}; the tenant pays from account {BANK_ACCOUNT}.",
    "Reminder to self: alarm code {PIN}, spare key with {PERSON} across the street.",
    "{ORGANIZATION} moved its warehouse from {LOCATION} to {LOCATION} last spring.",
    "Interview with {PERSON}: ten years at {ORGANIZATION}, speaks three languages, could start on {DATE_TIME}.",
    "Licence check done, {PERSON} holds {DRIVER_LICENSE}, no points, valid until {DATE_TIME}.",
    "Nurse on duty changed the dose of {MEDICATION} after {TITLE} {PERSON} complained about dizziness.",
    "Allergic to {MEDICATION}, see record {MEDICAL_RECORD}, told the pharmacy in {LOCATION}.",
    "The {NATIONALITY} delegation led by {PERSON} arrives in {LOCATION} on {DATE_TIME} and leaves two days later.",
    "Parcels for zip {POSTAL_CODE} went to the wrong depot again, {ORGANIZATION} has been told.",
    "Found on the whiteboard of the meeting room: root password {PASSWORD}, backup host {IP_ADDRESS}.",
    "Doctor's licence {MEDICAL_LICENSE} expired on {DATE_TIME}, the practice in {LOCATION} is informed.",
    "Grandfather's identity card {NATIONAL_ID} lies in the drawer beside the passport {PASSPORT}.",
    "Customer disputes a charge on {CREDIT_CARD}, says the shop {URL} never delivered.",
)

TEMPLATES = LETTERS + FORMS + CHATS + LOGS + NOTES

PLAIN = (
    "Please bring {~thing} back to the cellar when you are done with it.",
    "The meeting was {~mood}, and we agreed to talk about {~thing} next time.",
    "Lunch today is {~food} with bread, and {~food} for those who want something else.",
    "Could somebody order {~number} more boxes of paper before the stock runs out?",
    "cache warmed up in {~number} ms, {~number} entries kept, {~number} dropped",
    "It was a {~mood} week, so there is not much to report beyond {~number} closed tickets.",
    "how do i change the language of the app? i looked everywhere and found only {~number} settings",
    "Step {~number}: turn the screw to the left until it clicks, then let go.",
)
