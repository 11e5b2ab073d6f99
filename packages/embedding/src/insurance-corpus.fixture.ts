export interface QuestionAndPassage {
  question: string;
  /** The paragraph of a benefit booklet that answers the question. */
  answer: string;
}

/** Twenty questions in customers' words. Answers share the vocabulary of insurance, so that each has near misses. */
export const INSURANCE_QUESTIONS: readonly QuestionAndPassage[] = [
  {
    question: "What is my annual deductible?",
    answer:
      "Annual deductible. Each calendar year you pay the first $1,500 of covered services yourself before the plan begins to pay. For a family the deductible is $3,000, and no single member contributes more than $1,500 towards it. Preventive visits are not subject to the deductible. Amounts you paid to a previous carrier in the same calendar year count when you send us that carrier's statement within ninety days of joining.",
  },
  {
    question: "How much is the copay for a specialist visit?",
    answer:
      "Office visits. A visit to your primary care doctor has a copay of $25. A specialist visit has a copay of $50, with or without a referral. Urgent care centres charge $75. The copay is due at the desk when you arrive and does not count towards the deductible, although it does count towards the out-of-pocket maximum. Virtual visits through our telehealth partner are free of charge on weekdays.",
  },
  {
    question: "By when do I have to submit a claim?",
    answer:
      "Filing deadline. You must submit a claim within 180 days of the date of service. Send the itemised bill, the proof of payment and the claim form to the address on your card or upload them in the portal. A claim that reaches us after the deadline is denied unless you show that it was not reasonably possible to file in time. In no case do we accept one later than twelve months after treatment.",
  },
  {
    question: "Is cosmetic surgery excluded?",
    answer:
      "Exclusions. The following are excluded from this booklet: cosmetic surgery intended to improve appearance, experimental procedures, hair restoration, weight loss programmes that no doctor ordered, and services received before the effective date. Reconstructive surgery after an accident or a mastectomy is not cosmetic and remains payable. If you are unsure whether a procedure is on this list, call before it is scheduled.",
  },
  {
    question: "Does the policy renew automatically each year?",
    answer:
      "Renewal. The policy renews automatically on 1 January each year unless you or we cancel it. We write to you sixty days before the renewal date with the new rates. If you do nothing the contract continues for another twelve months on the terms set out in that letter. You may choose a different tier during open enrolment without answering health questions again.",
  },
  {
    question: "Are brand-name drugs covered at the pharmacy?",
    answer:
      "Prescription drugs. The pharmacy benefit has three tiers. Generic drugs cost $10 for a thirty-day supply. Preferred brand-name drugs cost $40, and non-preferred brand-name drugs cost $80. Mail order gives a ninety-day supply for two payments. If you ask for a brand-name drug when a generic exists you also pay the price difference. Insulin never costs more than $35 a month.",
  },
  {
    question: "What happens if I see an out-of-network doctor?",
    answer:
      "Out-of-network care. You may see a doctor outside our network, but we then reimburse only 60% of the usual and customary fee, and the doctor may bill you for the balance. Services from an out-of-network anaesthetist at an in-network hospital are treated as in-network. To find contracted doctors use the directory on our website, which is refreshed every night.",
  },
  {
    question: "Do I need prior authorization for an MRI?",
    answer:
      "Prior authorization. Certain services require our approval in advance: MRI and CT scans, sleep studies, inpatient rehabilitation, and any durable equipment that costs more than $1,000. Your physician requests prior authorization through form HX-2291. We decide within five business days, or within 24 hours when delay would endanger you. Without authorization the penalty is half of the allowed amount.",
  },
  {
    question: "How do I appeal a denied claim?",
    answer:
      "Appeals. If a claim is denied you may appeal in writing within 180 days of the notice. Say why you disagree and enclose medical records that support you. A reviewer who took no part in the first decision answers within thirty days. If the denial stands you can ask for an external review by an independent organisation at no cost, and its ruling binds us.",
  },
  {
    question: "Is emergency room treatment abroad reimbursed?",
    answer:
      "Travel. Emergency treatment abroad is reimbursed up to $50,000 per trip for journeys of at most sixty days. Pay the foreign hospital, keep the receipts and send them with a translation. Routine check-ups in other countries are not reimbursed. Repatriation is arranged by the assistance line, day and night, whose number is printed on the back of your card.",
  },
  {
    question: "Which dental services are included?",
    answer:
      "Dental benefits. Two cleanings and one set of x-rays a year are included in full. Fillings and extractions are paid at 80%, crowns, bridges and root canals at 50% after a waiting period of six months. Orthodontic treatment for children has a lifetime maximum of $2,000. Implants and teeth whitening are never included, whoever performs them.",
  },
  {
    question: "What is the out-of-pocket maximum for a family?",
    answer:
      "Out-of-pocket maximum. Once your own payments in a year reach $6,500, or $13,000 for a family, we pay everything covered in full until 31 December. Copays, coinsurance and the deductible all add to this maximum. Premiums, balance billing and services that are excluded do not. Your running total is shown in the member portal and on each explanation of benefits.",
  },
  {
    question: "Can I add my newborn to the plan?",
    answer:
      "New dependants. A newborn is covered from birth for 31 days. To add the newborn to the plan beyond that you must enrol the child within those days and pay any extra premium. The same period applies after adoption or marriage. Dependent children may stay until the end of the month in which they turn 26, whether or not they study or live with you.",
  },
  {
    question: "How can I cancel my insurance?",
    answer:
      "Ending the contract. You can cancel at any time by sending us a signed letter or by using the cancel button in the portal. Cover stops at the end of the month in which we receive the notice. Premium paid for later months is refunded within fourteen days. We may cancel only for fraud, for non-payment or because you moved out of the service area.",
  },
  {
    question: "What is the grace period for late premium payments?",
    answer:
      "Premium payments. The premium is due on the first of each month. There is a grace period of 31 days, during which the cover stays in force. If payment is still late when the grace period ends, the contract lapses as of the last day that was paid for. Reinstatement after a lapse needs a new application and a payment of all arrears. A returned cheque costs $30.",
  },
  {
    question: "Are pre-existing conditions subject to a waiting period?",
    answer:
      "Pre-existing conditions. A condition for which you had advice or treatment in the six months before joining is pre-existing. It is subject to a waiting period of twelve months, reduced by any continuous cover you had elsewhere. Pregnancy is never a pre-existing condition, nor is genetic information without a diagnosis. Members younger than nineteen have no waiting period.",
  },
  {
    question: "Does it pay for physical therapy after knee surgery?",
    answer:
      "Rehabilitation. We pay for up to 40 sessions of physical therapy, occupational therapy or speech therapy a year when a doctor prescribes them after an injury, a stroke or surgery such as a knee or hip replacement. Each session costs you 20% coinsurance. Further sessions are possible if the therapist documents progress. Massage and gym fees are not payable.",
  },
  {
    question: "Is therapy with a psychologist covered?",
    answer:
      "Mental health. Sessions with a psychologist or psychiatrist are covered like any other specialist, without a yearly limit. Inpatient treatment of depression, anxiety or addiction requires notice within 48 hours of admission. Group counselling is free. A confidential crisis line is staffed around the clock by licensed clinicians, and calling it leaves no trace in your file.",
  },
  {
    question: "Does the homeowner policy cover flood damage?",
    answer:
      "Water. The homeowner policy pays for sudden water damage from burst pipes, leaking appliances and rain that enters through storm-torn roofs. Flood damage, that is surface water, overflowing rivers and tidal surge, is not covered unless you bought endorsement FL-10. Mould is covered up to $10,000 if it follows a loss that is itself payable and was reported promptly.",
  },
  {
    question: "How is the value of a stolen car determined?",
    answer:
      "Theft. If your car is stolen and not recovered within thirty days we pay its actual cash value on the day before the theft. The value is determined from three comparable sales within a hundred miles, adjusted for mileage and condition. A rental car is provided for up to 45 days at $40 a day. Personal belongings in the car fall under your household contract.",
  },
];

/** What every booklet repeats around its answers; four of these bring a passage to the size of a chunk. */
const INSURANCE_BOILERPLATE: readonly string[] = [
  "This booklet is a summary of your benefits. If it differs from the master contract held by your employer, the master contract governs. Words in italics are defined in the glossary at the end. Please keep this document with your other important papers and show your identification card whenever you receive services from a doctor, hospital or laboratory.",
  "We protect the privacy of your health information and share it only as the law permits. You may ask for a copy of our privacy notice, request corrections to your records, or name a person who may speak for you. Questions are answered by member services from eight to six on weekdays, and interpreters are available without charge in more than a hundred languages.",
  "The plan administrator has discretion to interpret the terms of the plan. Nothing in this section changes the rights you have under state law. If any provision is found to be unenforceable the remaining provisions stay in effect. Headings are for convenience and do not limit the meaning of the text that follows them.",
  "Allowed amount means the most that we pay for a covered service. Coinsurance means your share of the allowed amount after the deductible. Provider means a licensed doctor, hospital or other professional. Medically necessary means in keeping with generally accepted standards of care and not mainly for the convenience of the patient or the provider.",
  "After each claim you receive an explanation of benefits. It is not a bill. It lists the provider, the date of service, the charge, what we paid and what you owe. Compare it with the invoice before you pay. If something looks wrong, or lists a service you did not receive, call the fraud hotline; you may remain anonymous.",
  "When you are covered by more than one plan, the plans coordinate so that together they pay no more than the total charge. The plan that covers you as an employee pays first; for children the plan of the parent whose birthday falls earlier in the year is primary. Tell us about other coverage at once, because late notice delays your payment.",
];

/** Passages of about 400 tokens, in the order of the questions: boilerplate, the answer, more boilerplate. */
export function buildInsurancePassages(): string[] {
  return INSURANCE_QUESTIONS.map(({ answer }, index) =>
    [
      pickBoilerplate(index),
      answer,
      pickBoilerplate(index + 1),
      pickBoilerplate(index + 3),
      pickBoilerplate(index + 4),
    ].join("\n\n"),
  );
}

function pickBoilerplate(position: number): string {
  return INSURANCE_BOILERPLATE[position % INSURANCE_BOILERPLATE.length] ?? "";
}
